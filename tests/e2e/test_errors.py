#!/usr/bin/python3
"""gmr report on what can't be reported, and with places that can't be written: a clear word, the documented exit code, no harm."""
import os
import signal
import subprocess
import sys

from common import NOBODY, Skip, check, suite

USAGE, NO_PROCESS, NOT_PERMITTED, NOT_POSSIBLE, OUTPUT = 2, 3, 4, 5, 6


def says(result, code, *words):
    check(result.returncode == code, f"exit code {result.returncode}, not {code}:", result.stderr)
    for word in words:
        check(word in result.stderr, f"'{word}' is not in", repr(result.stderr))


def sleeper(t, **options):
    return t.spawn(["sleep", "1000"], **options)


def free_pid():
    """A pid that no process has."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
        return process.pid


@suite.test
def usage_errors(t):
    says(t.gmr(), USAGE, "usage: gmr")
    says(t.gmr("fly"), USAGE, "no command 'fly'", "gmr help")
    says(t.gmr("report"), USAGE, "usage: gmr report", "--help")
    says(t.gmr("report", "1", "2"), USAGE)
    says(t.gmr("report", ""), USAGE)
    says(t.gmr("report", "--format", "pdf", "1"), USAGE, "text, json or xml")
    says(t.gmr("report", "--sections", "threads,thread", "1"), USAGE, "'thread'")
    says(t.gmr("report", "--max-frames", "none", "1"), USAGE)
    says(t.gmr("report", "99999999999999999999"), USAGE, "no pid")
    says(t.gmr("report", "-1"), USAGE)
    says(t.gmr("list", "me"), USAGE)
    says(t.gmr("trigger"), USAGE)
    says(t.gmr("run"), USAGE)
    says(t.gmr("run", "--signal", "KILL", "--", "true"), USAGE, "no signal")
    says(t.gmr("run", "--view", "pdf", "--", "true"), USAGE)


@suite.test
def help_of_every_command(t):
    overview = t.gmr("help")
    check(overview.returncode == 0 and not overview.stderr)
    for command in ("report", "run", "list", "trigger", "core", "show", "symbolize", "scrub", "doctor"):
        check(f"  {command} " in overview.stdout, command, "is not in the overview")
        page = t.gmr(command, "--help")
        check(page.returncode == 0 and page.stdout.startswith(f"usage: gmr {command}"), page.stdout, page.stderr)
        check(t.gmr("help", command).stdout == page.stdout)
    says(t.gmr("help", "fly"), USAGE)
    check(t.gmr("--version").stdout.startswith("gmr "))


@suite.test
def no_such_process(t):
    says(t.gmr("report", free_pid()), NO_PROCESS, "there is no process")
    says(t.gmr("report", "no-such-daemon"), NO_PROCESS, "no process is named 'no-such-daemon'")
    says(t.gmr("trigger", free_pid()), NO_PROCESS, "there is no process")


@suite.test
def a_name_that_several_have(t):
    """They are listed with their pids; a name that one has is enough."""
    own = t.tmp / "gmr-e2e-twin"
    own.write_bytes(open("/bin/sleep", "rb").read())
    own.chmod(0o755)
    one = t.spawn([own, "1000"])
    t.wait(lambda: os.readlink(f"/proc/{one.pid}/exe") == str(own), "the exec")
    result = t.gmr("report", "gmr-e2e-twin", "--sections", "limits")
    check(result.returncode == 0, result.stderr)
    two = t.spawn([own, "1000"])
    t.wait(lambda: os.readlink(f"/proc/{two.pid}/exe") == str(own), "the exec")
    says(t.gmr("report", "gmr-e2e-twin"), NO_PROCESS, "2 processes", str(one.pid), str(two.pid))


@suite.test
def a_process_of_another_user(t):
    if os.getuid() != 0:
        raise Skip("needs root to be two users")
    process = sleeper(t)
    t.tmp.chmod(0o777)
    result = t.gmr("report", process.pid, user=NOBODY)
    says(result, NOT_PERMITTED, "belongs to another user", "sudo")
    check(result.stdout == "", result.stdout)
    check(process.alive())
    says(t.gmr("trigger", process.pid, user=NOBODY), NOT_PERMITTED)
    own = sleeper(t, user=NOBODY)
    check(t.gmr("report", own.pid, "--sections", "limits", user=NOBODY).returncode == 0)


@suite.test
def a_kernel_thread(t):
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = open(f"/proc/{name}/stat", encoding="ascii", errors="replace").read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[6]) & 0x00200000:
                says(t.gmr("report", name), NOT_POSSIBLE if os.getuid() == 0 else NOT_POSSIBLE, "kernel thread")
                return
    raise Skip("no kernel thread is visible here")


@suite.test
def a_zombie(t):
    code = "import os, time\npid = os.fork()\nif pid == 0: os._exit(0)\nprint(pid, flush=True)\ntime.sleep(1000)"
    parent = t.spawn([sys.executable, "-c", code])
    text = t.wait(parent.stdout_text, "the child's pid", alive=parent)
    pid = int(text)
    t.wait(lambda: ") Z " in open(f"/proc/{pid}/stat", encoding="ascii").read(), "a zombie")
    says(t.gmr("report", pid), NOT_POSSIBLE, "zombie", str(parent.pid))
    check(") Z " in open(f"/proc/{pid}/stat", encoding="ascii").read(), "the zombie is gone")


@suite.test
def gmr_itself(t):
    result = subprocess.run(["/bin/sh", "-c", f'exec "{t.build("gmr")}" report $$'], capture_output=True, text=True, check=False)
    says(result, NOT_POSSIBLE, "gmr itself")


@suite.test
def a_thread_id_means_its_process(t):
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ntime.sleep(1000)"
    process = t.spawn([sys.executable, "-c", code])
    tids = t.wait(lambda: len(os.listdir(f"/proc/{process.pid}/task")) == 2 and os.listdir(f"/proc/{process.pid}/task"), "a thread")
    tid = next(int(tid) for tid in tids if int(tid) != process.pid)
    result = t.gmr("report", tid, "--sections", "limits")
    check(result.returncode == 0, result.stderr)
    check(f"thread of process {process.pid}" in result.stderr, result.stderr)


@suite.test
def a_process_that_ends_in_the_middle(t):
    """Reports of short-lived processes: whole, partial, or a refusal; never a hang, a signal or a broken document."""
    seen = set()
    for i in range(40):
        process = subprocess.Popen(["sleep", f"{0.0005 * (i % 20):.4f}"])
        result = t.gmr("report", process.pid, "--format", "json")
        process.wait()
        check(result.returncode in (0, 1, NO_PROCESS, NOT_POSSIBLE), result.returncode, result.stderr)
        seen.add(result.returncode)
        if result.stdout:
            t.valid_json(result.stdout)
        check(bool(result.stdout) == (result.returncode < 2), result.returncode, result.stdout[:100])


@suite.test
def killed_while_it_is_reported(t):
    for _ in range(10):
        process = subprocess.Popen(["sleep", "1000"])
        report = subprocess.Popen([t.build("gmr"), "report", str(process.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.kill()
        out, err = report.communicate(timeout=60)
        check(process.wait() == -signal.SIGKILL)
        check(report.returncode in (0, 1, NO_PROCESS, NOT_POSSIBLE), report.returncode, err)
        check(not out or b"End of Guru Meditation" in out, out[-200:])


@suite.test
def a_full_disk(t):
    process = sleeper(t)
    says(t.gmr("report", process.pid, "-o", "/dev/full"), OUTPUT, "/dev/full", "No space left")
    with open("/dev/full", "wb") as full:
        says(t.gmr("report", process.pid, stdout=full), OUTPUT, "standard output", "No space left")
    if os.getuid() != 0:
        return
    small = t.directory("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", small], check=False, capture_output=True).returncode:
        return
    t.cleanup(subprocess.run, ["umount", small])
    (small / "old.txt").write_text("an older report")
    says(t.gmr("report", process.pid, "-o", small / "old.txt"), OUTPUT, "No space left", "-o")
    check(os.listdir(small) == ["old.txt"], "left behind:", os.listdir(small))
    check((small / "old.txt").read_text() == "an older report", "the older report was destroyed")
    check(process.alive())


@suite.test
def a_reader_that_has_seen_enough(t):
    process = sleeper(t)
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in (("report", process.pid), ("help",)):
        result = t.gmr(*arguments, stdout=writing)
        check(result.returncode == OUTPUT and result.stderr == "", arguments, result.returncode, result.stderr)
    os.close(writing)


@suite.test
def output_files(t):
    """-o makes a file of mode 0600, replaces one that was there, and names what is wrong with a path."""
    process = sleeper(t)
    path = t.tmp / "report.txt"
    check(t.gmr("report", process.pid, "--sections", "limits", "-o", path).returncode == 0)
    check("End of Guru Meditation" in path.read_text())
    check(path.stat().st_mode & 0o777 == 0o600, oct(path.stat().st_mode))
    path.write_text("old")
    check(t.gmr("report", process.pid, "--sections", "limits", "-o", path).returncode == 0)
    check("End of Guru Meditation" in path.read_text())
    check(sorted(p.name for p in t.tmp.iterdir() if p.name.startswith("report")) == ["report.txt"])
    says(t.gmr("report", process.pid, "-o", t.tmp), OUTPUT, "directory")
    says(t.gmr("report", process.pid, "-o", t.tmp / "no" / "such"), OUTPUT, "No such file")


@suite.test
def closed_outputs(t):
    """Closed standard descriptors: a failure is told where that is possible, and nothing lands in a wrong file."""
    process = sleeper(t)
    gmr = t.build("gmr")

    def shell(line):
        return subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False, timeout=60, cwd=t.tmp)

    says(shell(f'"{gmr}" report {process.pid} >&-'), OUTPUT, "standard output")
    quiet = shell(f'"{gmr}" report {process.pid} --sections limits 2>&-')
    check(quiet.returncode == 0 and "End of Guru Meditation" in quiet.stdout, quiet)
    shell(f'"{gmr}" report {process.pid} --sections limits -o file 0<&- 1>&- 2>&-')
    check("End of Guru Meditation" in (t.tmp / "file").read_text())
    check(shell(f'"{gmr}" report {free_pid()} 2>&-').returncode == NO_PROCESS)
    check(shell(f'"{gmr}" help >&-').returncode == OUTPUT)
    pipe = shell(f'"{gmr}" report {process.pid} | true; exit 0')
    check(pipe.returncode == 0 and process.alive())


@suite.test
def sections_can_be_chosen(t):
    process = sleeper(t)
    document = t.report(process.pid, "--sections", "limits,host")
    check({"limits", "host"} <= set(document) and "processes" not in document and "threads" not in document, list(document))
    text = t.gmr("report", process.pid, "--sections", "host").stdout
    check("Host" in text and "Limits" not in text)


suite.main()
