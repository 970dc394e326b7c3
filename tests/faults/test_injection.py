"""The nth system call and the nth allocation fail, of libgmr and of the gmr command: a whole report, one that says what is missing, or a clear
refusal, and a target that goes on. Some of each here; every n with GMR_FAULTS=whole (make faults)."""
import errno
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import check, suite  # noqa: E402
from injection import ERRORS, HANG, Injector, Tally, Target, ask, judge, looks_whole, numbers  # noqa: E402
from puppet import Puppet  # noqa: E402

TIMEOUT_MS = 6000


class Written:
    """Reports that a puppet writes of itself into a file."""

    def __init__(self, t, *commands, env=None):
        self.t, self.commands, self.env = t, commands, env
        self.path = t.tmp / "report.json"

    def start(self):
        self.puppet = Puppet(self.t, "threads 3", "register Mine plain", *self.commands, env=self.env)
        self.puppet.options(report_timeout_ms=TIMEOUT_MS, section_timeout_ms=2000, min_interval_ms=1)
        return self.puppet

    def write(self):
        """(result or None, text)"""
        self.path.unlink(missing_ok=True)
        fd = ask(self.puppet, f"open {self.path}")
        result = ask(self.puppet, f"write {fd} 2")
        if result is not None:
            ask(self.puppet, f"close {fd}")
        return result, self.path.read_text(errors="replace") if self.path.exists() else ""

    def close(self):
        self.puppet.process.popen.stdin.close()
        self.puppet.process.popen.stdout.close()
        self.puppet.process.stop(9)


def outcome(t, tally, result, text, baseline, where):
    if result is None:
        tally.finding("no answer: it hangs or has ended", where)
        return "refused"
    if result == 0:
        return judge(t, tally, text, baseline, where)
    if looks_whole(text):
        tally.finding(f"refused with {result}, yet there is a whole report", where)
    return "refused"


def clean(t, written, complete=None):
    """A report without a failure. On a machine that is busy with something else a thread may not stop in time: then one more."""
    for _ in range(10):
        result, text = written.write()
        check(result == 0, "no report without a failure:", result)
        document = t.valid_json(text)
        if complete in (None, document["report"]["status"] == "complete"):
            return document
    raise AssertionError(f"without a failure: {document['report']}")


def works_again(t, written, complete=True):
    """None, or how it doesn't."""
    try:
        clean(t, written, complete)
    except (AssertionError, ValueError) as error:
        return f"the next report is not as it was: {str(error)[-300:]}"
    return None


def every_call_of_a_report(t, name, *commands, complete=True):
    tally, written = Tally(name), Written(t, *commands)

    def begin():
        puppet = written.start()
        injector = Injector(t, puppet, "libgmr")
        puppet.setup() # after that: threads have the filter of the one that started them
        baseline = clean(t, written, complete)
        return injector, baseline, Target(puppet.pid)

    def again(injector):
        injector.close()
        written.close()
        return begin()

    injector, baseline, target = begin()
    for error in ERRORS:
        injector.fail(-1, error)
        clean(t, written)
        total = injector.stop()[0]
        for n in numbers(total, error):
            injector.fail(n, error)
            result, text = written.write()
            _, call = injector.stop()
            where = (f"{call} #{n}", errno.errorcode[error])
            if call == "-":
                continue
            kind = outcome(t, tally, result, text, baseline, where)
            tally.add(kind, where)
            problem = None if result is None else target.problem(t.wait)
            if not problem and (kind != "whole" or n % 8 == 0):
                problem = works_again(t, written, complete)
            if problem:
                tally.finding(problem, where)
            if problem or result is None:
                injector, baseline, target = again(injector)
    injector.close()
    written.close()
    tally.close()


@suite.test
def each_system_call_of_libgmr_during_a_report(t):
    every_call_of_a_report(t, "system calls of libgmr, a report with an inspector")


@suite.test
def each_system_call_of_libgmr_during_a_report_of_its_own(t):
    every_call_of_a_report(t, "system calls of libgmr, a report without an inspector", "set inspector /nonexistent", complete=False)


@suite.test
def each_system_call_during_setup(t):
    tally, written = Tally("system calls of the whole process during setup"), Written(t)
    written.start().setup()
    baseline = clean(t, written, True)
    written.close()
    for error in ERRORS:
        total, n, step = 1, 0, None
        while n < total:
            puppet = written.start()
            injector = Injector(t, puppet, "all")
            injector.fail(n if step else -1, error)
            result = ask(puppet, "setup")
            if step is None:
                t.wait(lambda puppet=puppet: puppet.thread_names().count("gmr-runner") >= 2, "the runners")
            count, call = injector.stop()
            where = (f"{call} #{n}", errno.errorcode[error])
            if step is None:
                total, chosen = count, list(numbers(count, error))
                step = iter(chosen)
            elif call != "-":
                if result is None:
                    tally.finding("setup hangs" if puppet.process.alive() else "setup ends the process", (*where, puppet.stderr()[-200:]))
                    tally.add("refused")
                else:
                    if result < 0 and not ask(puppet, "message"):
                        tally.finding("refused without a message", where)
                    tally.add(outcome(t, tally, *written.write(), baseline, where), where)
                    if not puppet.process.alive():
                        tally.finding("the process has ended", where)
                    elif ask(puppet, "shutdown") != 0 or ask(puppet, "setup") != 0:
                        tally.finding("a second setup fails", (*where, puppet("message")))
                    elif problem := works_again(t, written):
                        tally.finding("after a second setup " + problem, where)
            injector.close()
            written.close()
            n = next(step, total)
    tally.close()


@suite.test
def each_allocation_of_libgmr(t):
    env = t.environment(LD_PRELOAD=t.build("tests/faults/failing.so"))
    tally, written = Tally("allocations of libgmr, from setup to the end of a report"), Written(t, env=env)
    written.start().setup()
    baseline = clean(t, written, True)
    written.close()
    written.start()("fail-allocation -1")
    written.puppet("options group")
    written.puppet("register Second plain")
    written.puppet.setup()
    clean(t, written)
    total = ask(written.puppet, "fail-allocation -1")
    written.close()
    for rest in ("", "+"):
        for n in numbers(total):
            puppet, where = written.start(), f"#{n}{rest}"
            puppet(f"fail-allocation {n}{rest}")
            ask(puppet, "options group")
            ask(puppet, "register Second plain")
            result = ask(puppet, "setup")
            if result is None:
                tally.finding("setup hangs", where)
            elif result < 0 and not ask(puppet, "message"):
                tally.finding("refused without a message", where)
            tally.add(outcome(t, tally, *written.write(), baseline, where), where)
            puppet("fail-allocation -1")
            problem = works_again(t, written) if ask(puppet, "setup") == 0 else "setup fails"
            if problem:
                tally.finding("with memory again " + problem, where)
            written.close()
    tally.close()


# ---------------------------------------------------------------------------------------------- the gmr command


def victim(t):
    puppet = Puppet(t, "threads 3", "register Mine plain").setup()
    return puppet, Target(puppet.pid)


CODES = (0, 1, 3, 4, 5, 6, 7)


def judge_command(t, tally, done, baseline, where):
    """done: CompletedProcess or None."""
    if done is None:
        tally.finding("it hangs", where)
        return "refused"
    # 127 and 126: it was not even started, or its own loader gave up; the shell's word for it.
    if done.returncode not in CODES and not (done.returncode in (126, 127) and not done.stdout):
        tally.finding(f"it ends with {done.returncode}", (*where, done.stderr[-200:]))
        return "refused"
    if done.returncode in (0, 1):
        kind = judge(t, tally, done.stdout, baseline, where)
        if kind == "whole" and done.returncode == 1 or kind == "partial" and done.returncode == 0:
            tally.finding(f"exit code {done.returncode} of a report that is {kind}", where)
        return kind
    if looks_whole(done.stdout):
        tally.finding(f"exit code {done.returncode}, yet a whole report", where)
    if not done.stderr.strip():
        tally.finding(f"exit code {done.returncode} without a word", where)
    return "refused"


def run(argv, **options):
    try:
        return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=HANG,
                              encoding="utf-8", errors="replace", check=False, **options)
    except subprocess.TimeoutExpired:
        return None


@suite.test
def each_system_call_of_gmr_report(t):
    puppet, target = victim(t)
    baseline = t.report(puppet.pid)
    tally, log = Tally("system calls of gmr report"), t.tmp / "log"

    def attempt(at, error):
        log.unlink(missing_ok=True)
        done = run([t.build("tests/faults/inject"), log, at, error, t.build("gmr"), "report", puppet.pid, "--format", "json", "--timeout", "20"],
                   env=t.environment(XDG_CACHE_HOME=t.tmp))
        count, call = log.read_text().split() if log.exists() else (0, "?")
        return done, int(count), call

    attempt(-1, errno.EPERM)
    for error in ERRORS:
        done, total, _ = attempt(-1, error)
        check(done and done.returncode == 0, done)
        for rest in ("", "+") if error in (errno.EMFILE, errno.ENOMEM) else ("",):
            for n in numbers(total, error):
                done, _, call = attempt(f"{n}{rest}", error)
                where = (f"{call} #{n}{rest}", errno.errorcode[error])
                if call == "-":
                    continue
                tally.judged(t, target, judge_command(t, tally, done, baseline, where), where)
    tally.close()


@suite.test
def each_file_of_proc_that_can_not_be_opened(t):
    # Every one of them, in every run: a section that lost something must not say that it is whole.
    puppet, _ = victim(t)
    tally, log = Tally("files that gmr report can't open for its sections"), t.tmp / "log"
    names = "processes,limits,environment,open_files,modules,resources,cgroup,host"
    command = [t.build("gmr"), "report", puppet.pid, "--format", "json", "--sections", names]

    def attempt(at):
        log.unlink(missing_ok=True)
        done = run([t.build("tests/faults/inject"), log, at, errno.EMFILE, *command])
        count, call = log.read_text().split()
        return done, int(count), call

    done, total, _ = attempt(-1)
    check(done and done.returncode == 0, done)
    baseline = t.valid_json(done.stdout)
    for at in range(total):
        done, _, call = attempt(at)
        where = f"{call} #{at}"
        if call != "-":
            tally.add(judge_command(t, tally, done, baseline, where), where)
    tally.close()


@suite.test
def each_system_call_of_the_capture_hangs(t):
    puppet, target = victim(t)
    baseline = t.report(puppet.pid)
    tally, log = Tally("system calls of the capturing processes that never return"), t.tmp / "log"
    inject = [t.build("tests/faults/inject"), log]
    command = [t.build("gmr"), "report", puppet.pid, "--format", "json", "--timeout", "20"]
    done = run([*inject, -1, 0, *command])
    check(done and done.returncode in (0, 1), done)
    total = int(log.read_text().split()[0])
    # Each costs the three seconds after which a capture that does not move is given up.
    for n in list(numbers(total))[:: 10 if len(numbers(total)) > 100 else 1]:
        done = run([*inject, n, 0, *command])
        where = (f"{log.read_text().split()[1]} #{n}", "hangs")
        tally.judged(t, target, judge_command(t, tally, done, baseline, where), where)
    tally.close()


@suite.test
def each_system_call_of_the_inspector(t):
    tally, log, plan = Tally("system calls of the inspector that libgmr starts"), t.tmp / "log", t.tmp / "plan"
    wrapper = t.tmp / "inspector"
    named = t.tmp / "gmr-inspector"
    named.symlink_to(t.build("gmr"))
    wrapper.write_text(f'#!/bin/sh\nread plan < {plan}\nexec {t.build("tests/faults/inject")} {log} $plan {named} "$@"\n')
    wrapper.chmod(0o755)
    written = Written(t, f"set inspector {wrapper}")

    def attempt(at, error):
        plan.write_text(f"{at} {error}\n")
        log.unlink(missing_ok=True)
        result, text = written.write()
        t.wait(log.exists, "the log", timeout=20)
        t.wait(lambda: log.read_text().endswith("\n"), "the whole log")
        count, call = log.read_text().split()
        return result, text, int(count), call

    plan.write_text(f"-1 {errno.EPERM}\n")
    written.start().setup()
    baseline = clean(t, written, True)
    target = Target(written.puppet.pid)
    for error in ERRORS:
        total = attempt(-1, error)[2]
        for n in numbers(total, error):
            result, text, _, call = attempt(n, error)
            where = (f"{call} #{n}", errno.errorcode[error])
            if call == "-":
                continue
            tally.judged(t, target, outcome(t, tally, result, text, baseline, where), where)
    tally.close()


@suite.test
def each_allocation_of_gmr_report(t):
    puppet, target = victim(t)
    baseline = t.report(puppet.pid)
    tally, log = Tally("allocations of gmr report"), t.tmp / "log"

    def attempt(at, *options):
        env = t.environment(FAILING_AT=str(at), FAILING_LOG=str(log), XDG_CACHE_HOME=str(t.tmp))
        return run([t.build("tests/faults/gmr-failing"), "report", puppet.pid, "--format", "json", *options], env=env)

    for options in ((), ("--no-cache",)):
        attempt(-1, *options)
        done = attempt(-1, *options)
        check(done and done.returncode == 0, done)
        total = int(log.read_text())
        for rest in ("", "+"):
            for n in numbers(total, len(rest)):
                where = (f"#{n}{rest}", *options)
                tally.judged(t, target, judge_command(t, tally, attempt(f"{n}{rest}", *options), baseline, where), where)
    tally.close()


suite.main()
