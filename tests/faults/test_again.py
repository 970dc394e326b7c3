"""A process ends while gmr looks at it, and its number is given to another one: nothing of the other one is reported, nor asked, nor stopped."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import Skip, check, suite  # noqa: E402
from injection import WHOLE  # noqa: E402
from puppet import Puppet  # noqa: E402

MARK = "the-later-one"


class Course:
    """A gmr command that is held before its nth system call, while its target's number goes to another process."""

    def __init__(self, t, *command):
        self.t, self.command, self.log = t, command, t.tmp / "log"
        if os.geteuid() != 0:
            raise Skip("needs root, to choose a process id")

    def total(self, pid):
        """How many calls there are to wait before."""
        self.run(pid, -1)
        return int(self.log.read_text().split()[0])

    def run(self, pid, at):
        for suffix in ("", ".at", ".go"):
            pathlib.Path(f"{self.log}{suffix}").unlink(missing_ok=True)
        argv = [self.t.build("tests/faults/inject"), self.log, at, "wait", self.t.build("gmr"), *self.command]
        argv = [str(pid) if word is Puppet else str(word) for word in argv]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                                   errors="replace", env=self.t.environment(XDG_CACHE_HOME=str(self.t.tmp)))
        if at >= 0:
            self.t.wait(lambda: pathlib.Path(f"{self.log}.at").exists() or process.poll() is not None, "the call")
            return process
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def go(self, process):
        pathlib.Path(f"{self.log}.go").touch()
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def later_one(t, pid, *commands):
    """Another program under that number: a puppet whose name, arguments, environment and sections give it away."""
    path = t.tmp / MARK
    if not path.exists():
        path.symlink_to(t.build("tests/targets/puppet"))
    process = t.spawn([t.build("tests/targets/again"), pid, path, MARK], env=t.environment(TERM=MARK), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    line = process.popen.stdout.readline().decode()
    if line != "ready\n":
        process.popen.wait()
        if process.popen.returncode == 4:
            raise Skip("process ids can't be chosen here: " + process.stderr_text())
        return None  # somebody else was faster
    for command in (f"set product {MARK}", "threads 3", *commands, "setup"):
        process.popen.stdin.write(command.encode() + b"\n")
        process.popen.stdin.flush()
        process.popen.stdout.readline()
    return process


def each_step(t, *command, judge, count, one=True):
    course = Course(t, *command)
    first = Puppet(t, "threads 2").setup()
    total = course.total(first.pid)
    first.process.stop(9)
    steps = range(total) if WHOLE else sorted({total * i // count for i in range(count)})
    seen = []
    for at in steps:
        target = Puppet(t, "threads 2").setup()
        pid = target.pid
        process = course.run(pid, at)
        target.process.stop(9)
        later = later_one(t, pid)
        outcome = course.go(process)
        where = f"before call {at} of {total}:"
        if later is None:
            continue
        # As long as gmr has not looked at the number, it means whoever has it: the later one, and it alone.
        about = MARK in outcome[1] or MARK in outcome[2]
        asked = "Guru Meditation" in later.stderr_text()
        seen.append(about or asked)
        judge(where, about, *outcome)
        check(later.alive(), where, "the later one has ended")
        # It may have answered a moment ago, and run still.
        status = pathlib.Path(f"/proc/{pid}/status")
        t.wait(lambda file=status: {"TracerPid:\t0", "State:\tS (sleeping)"} <= set(file.read_text(encoding="utf-8").splitlines()),
               f"the later one to sleep untraced, {where}", alive=later)
        later.stop(9)
    # one: it is about one process, which is pinned when it is first looked at.
    check(not one or seen and seen == sorted(seen, reverse=True) and not seen[-1], "the later one, after another had been meant:", seen)


@suite.test
def a_report(t):
    def judge(where, about, code, out, err):
        check(code in (0, 1, 3, 5), where, code, out[-500:], err)
        if code in (0, 1):
            document = t.valid_json(out)
            reasons = [s.get("reason", "") for s in document["report"]["sections"] if s["status"] not in ("ok", "absent")]
            check(code == 0 or all(reasons), where, reasons)
            whose = [document["package"]["product"] == MARK, MARK in document["processes"][0]["command"], document["environment"]["shown"]["TERM"] == MARK,
                     sum(thread["name"] == MARK[:15] for thread in document["threads"]) == 4] if about else [True]
            check(all(whose), where, "two processes in one report", whose)
        else:
            check(err.strip(), where, "not a word")
    each_step(t, "report", Puppet, "--format", "json", "--no-cache", judge=judge, count=10)


@suite.test
def a_trigger(t):
    def judge(where, _about, code, out, err):
        check(code in (0, 3, 5) and (out if code == 0 else err).strip(), where, code, out, err)
    each_step(t, "trigger", Puppet, judge=judge, count=5)


@suite.test
def doctor(t):
    def judge(where, _about, code, out, err):
        check(code in (0, 1, 3, 5), where, code, out, err)
    each_step(t, "doctor", Puppet, judge=judge, count=5)


@suite.test
def a_list(t):
    def judge(where, _about, code, out, err):
        check(code == 0, where, code, out, err)
    each_step(t, "list", judge=judge, count=4, one=False)


suite.main()
