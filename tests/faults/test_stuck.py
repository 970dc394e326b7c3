"""Processes that are stuck, starved or traced: the report comes, is whole or says what is missing, and the target goes on."""
import errno
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import Skip, check, suite  # noqa: E402
from puppet import END, section  # noqa: E402
from sick import Sick as Puppet, valid  # noqa: E402


def report_and_go_on(t, puppet, fds=True):
    before = puppet.fds() if fds else None
    report = puppet.report()
    check(f"Thread #{puppet.pid}" in section(report, "Threads"), section(report, "Threads"))
    check(not fds or puppet.fds() == before, "descriptors:", before, puppet.fds())
    return report


@suite.test
def malloc_is_locked_for_ever(t):
    for inspector in (None, "/nonexistent"):
        puppet = Puppet(t, *([f"set inspector {inspector}"] if inspector else []), "register Mine plain").setup()
        check(puppet("be malloc-held") == 0)
        t.wait(lambda: "hold_forever" in report_and_go_on(t, puppet) or inspector, "the lock to be held")
        report_and_go_on(t, puppet)


@suite.test
def the_loader_is_locked_for_ever(t):
    for inspector in (None, "/nonexistent"):
        puppet = Puppet(t, *([f"set inspector {inspector}"] if inspector else []), "register Mine plain").setup()
        library = t.build("tests/targets/libstuck_constructor.so")
        before = puppet.fds()
        check(puppet(f"be loader-held {library}") == 0)
        # The loader closes the file when it is mapped, and runs the constructor after that.
        t.wait(lambda: library in puppet.maps() and puppet.fds() == before, "the constructor to hang")
        check("answer = 42" in section(report_and_go_on(t, puppet), "Mine"))


@suite.test
def stdio_is_locked_for_ever(t):
    puppet = Puppet(t, "register Mine plain").setup()
    check(puppet("be stdio-held") == 0)
    check("answer = 42" in section(report_and_go_on(t, puppet), "Mine"))


@suite.test
def out_of_descriptors(t):
    puppet = Puppet(t, "register Mine plain").setup()
    check(puppet("limit nofile 30") == 0)
    check(puppet("exhaust") > 10)
    check("answer = 42" in section(report_and_go_on(t, puppet), "Mine"))


@suite.test
def out_of_address_space(t):
    puppet = Puppet(t, "register Mine plain", "threads 3", refusal=-errno.ENOMEM).setup()
    with open(f"/proc/{puppet.pid}/statm", encoding="ascii") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    check(puppet(f"limit as {used}") == 0)
    report = report_and_go_on(t, puppet)
    section(report, "Mine")


@suite.test
def no_room_for_queued_signals(t):
    puppet = Puppet(t).setup()
    check(puppet("limit sigpending 0") == 0)
    report_and_go_on(t, puppet)


@suite.test
def every_thread_spins(t):
    puppet = Puppet(t, "be spinning", "be spinning", "be spinning").setup()
    report_and_go_on(t, puppet)


@suite.test
def threads_come_and_go(t):
    puppet = Puppet(t, "be churning", "be churning", threads=False).setup()
    for _ in range(3):
        report_and_go_on(t, puppet)
    puppet2 = Puppet(t, "be churning", "be churning", "set inspector /nonexistent", threads=False).setup()
    for _ in range(3):
        report_and_go_on(t, puppet2)


@suite.test
def traced_by_strace_or_gdb(t):
    if not shutil.which("gdb"):
        raise Skip("no gdb")
    puppet = Puppet(t, "threads 2").setup()
    tracer = t.spawn(["gdb", "-q", "-p", puppet.pid, "-ex", "handle SIGUSR2 nostop noprint pass", "-ex", "continue"],
                     stdin=subprocess.PIPE)
    t.wait(lambda: re.search(r"TracerPid:\s*[1-9]", pathlib.Path(f"/proc/{puppet.pid}/status").read_text()), "gdb to attach")
    t.wait(lambda: "Continuing" in tracer.stdout_text(), "gdb to let it run")
    report = puppet.report()
    check("gdb" in section(report, "Threads"), "the tracer is not named:", section(report, "Threads")[-500:])
    check(f"Thread #{puppet.pid}" in section(report, "Threads"))
    tracer.stop(signal.SIGKILL)
    report_and_go_on(t, puppet)


@suite.test
def stopped_and_still_stopped_afterwards(t):
    puppet = Puppet(t, "threads 2", "register Mine plain").setup()
    t.freeze(puppet.pid)
    result = t.gmr("report", puppet.pid, "--format", "json")
    check(result.returncode in (0, 1), result)
    document = valid(t, result.stdout)
    check(all("stack" in thread for thread in document["threads"]), document["threads"])
    states = [path.read_text().rsplit(")", 1)[1].split()[0] for path in pathlib.Path(f"/proc/{puppet.pid}/task").glob("*/stat")]
    check(set(states) == {"T"}, "it was stopped before:", states)
    os.kill(puppet.pid, signal.SIGCONT)
    report_and_go_on(t, puppet)


@suite.test
def traced_by_strace(t):
    if not shutil.which("strace"):
        raise Skip("no strace")
    puppet = Puppet(t, "threads 2", "register Mine plain").setup()
    tracer = t.spawn(["strace", "-f", "-qq", "-o", "/dev/null", "-p", puppet.pid])
    traced = lambda: all(re.search(r"TracerPid:\s*[1-9]", path.read_text()) for path in pathlib.Path(f"/proc/{puppet.pid}/task").glob("*/status"))
    t.wait(traced, "strace to attach", alive=tracer)
    report = puppet.report()
    check("strace" in section(report, "Threads"), "the tracer is not named:", section(report, "Threads")[-500:])
    check(puppet.last["report"]["method"] == "signal" and "strace" in str(puppet.last["report"]["sections"]), puppet.last["report"])
    check("answer = 42" in section(report, "Mine"))
    result = t.gmr("report", puppet.pid, "--format", "json")
    check(result.returncode in (1, 4, 5) and "strace" in result.stdout + result.stderr, result)
    tracer.stop(signal.SIGTERM)
    t.wait(lambda: not traced(), "strace to leave")
    report_and_go_on(t, puppet)


@suite.test
def a_hundred_reports_leave_nothing_behind(t):
    puppet = Puppet(t, "register Mine plain", "threads 5").setup(min_interval_ms=1)

    def footprint():
        with open(f"/proc/{puppet.pid}/status", encoding="ascii") as status:
            text = status.read()
        return (int(re.search(r"VmData:\s*(\d+)", text).group(1)), int(re.search(r"Threads:\s*(\d+)", text).group(1)), len(puppet.fds()),
                len(open(f"/proc/{puppet.pid}/maps", encoding="ascii").readlines()))

    for _ in range(5):
        puppet.report()
    before = footprint()
    for _ in range(100):
        puppet.report()
    after = footprint()
    check(after[0] <= before[0] + 256 and after[1:3] == before[1:3] and after[3] <= before[3] + 3, before, after)


@suite.test
def many_generators_that_never_return(t):
    puppet = Puppet(t, *(f"register Hangs{i} hangs" for i in range(6)), "register Crashes crashes", "register Last plain").setup(section_timeout_ms=100)
    for _ in range(2):
        report = report_and_go_on(t, puppet)
        check("answer = 42" in section(report, "Last"), report[-3000:])
        check("is whole" not in section(report, "Configuration") and "[" not in section(report, "Configuration"), section(report, "Configuration"))
    check("still running since an earlier report" in section(report, "Hangs5"))


@suite.test
def more_generators_that_never_return_than_threads_for_them(t):
    puppet = Puppet(t, *(f"register Hangs{i} hangs" for i in range(20)), "register Last plain").setup(section_timeout_ms=50)
    first = report_and_go_on(t, puppet)
    check("was abandoned" in section(first, "Hangs9"), section(first, "Hangs9"))
    for report in (first, report_and_go_on(t, puppet)):
        check("every thread that could run it is stuck" in section(report, "Sections"), section(report, "Sections"))
    check("every thread that could run it is stuck" in section(report, "Configuration"), section(report, "Configuration"))
    check(puppet.thread_names().count("gmr-runner") <= 16, puppet.thread_names())
    check(puppet("threads 3") == 3)


suite.main()
