"""Where no inspector can look: each report comes, has every thread's stack by the process's own means, and says why it is poorer."""
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import NOBODY, Skip, check, functions, suite  # noqa: E402
from puppet import END, section  # noqa: E402
from sick import Sick as Puppet, status_of, valid  # noqa: E402


def document_of(t, puppet, name="report.json"):
    path = t.tmp / name
    fd = puppet(f"open {path}")
    check(puppet(f"write {fd} 2") == 0, "no report:", puppet.stderr())
    puppet(f"close {fd}")
    return valid(t, path.read_text())


def check_fallback(document, puppet, reason):
    check(document["report"]["method"] == "signal", document["report"])
    status = status_of(document, "threads")
    check(status["status"] == "partial" and reason in status["reason"], status)
    tids = {int(tid) for tid in os.listdir(f"/proc/{puppet.pid}/task")}
    shown = {thread["id"]: thread for thread in document["threads"]}
    check(tids <= set(shown), "missing:", tids - set(shown))
    for thread in shown.values():
        if thread["name"] == "gmr-reporter":
            continue
        names = functions(document, thread)
        check(names and "end" not in document["stacks"][thread["stack"]], thread, names)
    idle = [thread for thread in shown.values() if "pause" in functions(document, thread)]
    check(len(idle) == 3, [functions(document, thread) for thread in shown.values()])
    for stack in document["stacks"]:
        for frame in stack["frames"]:
            check("build_id" in frame or "module" not in frame, frame)


def fenced(t, error, *denied, **options):
    return Puppet(t, "threads 3", argv=[t.build("tests/targets/fence"), error, *denied, "--"], **options)


@suite.test
def ptrace_is_denied(t):
    puppet = fenced(t, 1, "ptrace").setup()
    check_fallback(document_of(t, puppet), puppet, "")
    section(puppet.report(), "Threads")


@suite.test
def ptrace_and_process_vm_readv_are_denied(t):
    for error in (1, 38):
        puppet = fenced(t, error, "ptrace", "process_vm_readv").setup()
        check_fallback(document_of(t, puppet), puppet, "")


@suite.test
def the_inspector_can_not_be_executed(t):
    puppet = fenced(t, 1, "execveat").setup()
    check_fallback(document_of(t, puppet), puppet, "could not be started")


@suite.test
def calls_of_newer_kernels_are_missing(t):
    puppet = fenced(t, 38, "close_range", "pidfd_getfd", "pidfd_open", "memfd_create", "signalfd4").setup()
    section(puppet.report(), "Threads")
    document_of(t, puppet)


@suite.test
def the_descriptor_table_can_not_be_left(t):
    puppet = fenced(t, 1, "close_range", "unshare").setup()
    before = puppet.fds()
    section(puppet.report(), "Threads")
    document_of(t, puppet)
    check(puppet.fds() == before)
    check(puppet("shutdown") == 0)
    check(len(puppet.fds()) < len(before), "descriptors are left behind", puppet.fds())


@suite.test
def the_inspector_is_missing(t):
    puppet = Puppet(t, "threads 3", "set inspector /nonexistent/gmr").setup()
    check_fallback(document_of(t, puppet), puppet, "no such file")


INSPECTORS = {
    "ends at once": "exit 0",
    "fails": "exit 3",
    "kills itself": "kill -9 $$",
    "writes garbage": "head -c 100000 /dev/urandom >&3",
    "writes half a document": "printf 'GMR' >&3",
    "writes nothing for ever": "exec sleep 1000",
    "closes its stream and stays": "exec 3>&-; exec sleep 1000",
    "floods": "exec cat /dev/zero >&3",
}


@suite.test
def an_inspector_that_misbehaves_costs_nothing_but_stacks(t):
    for index, (name, script) in enumerate(INSPECTORS.items()):
        fake = t.tmp / f"inspector.{index}"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        puppet = Puppet(t, f"set inspector {fake}", "register Mine plain").setup(report_timeout_ms=3000)
        document = document_of(t, puppet, f"report.{index}")
        status = status_of(document, "threads")
        check(status["status"] == "partial" and "inspector" in status["reason"], name, status)
        check(document["sections"]["Mine"]["answer"] == 42, name)
        check(document["threads"], name)
        check(puppet("wait-any") == -10, name)
        left = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(puppet.pid)], capture_output=True, text=True, check=False).stdout
        check(left.strip() == "", name, "left behind:", left)


@suite.test
def the_inspector_is_killed_in_the_middle(t):
    puppet = Puppet(t, "threads 400", "register Mine plain").setup()
    for _ in range(10):
        before = puppet.stderr().count(END)
        puppet.signal()
        while puppet.stderr().count(END) == before:
            for line in subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout.splitlines():
                pid, _, args = line.split(None, 2)
                if args.startswith("gmr-inspector") and f"--pid {puppet.pid} " in args:
                    try:
                        os.kill(int(pid), signal.SIGKILL)
                    except ProcessLookupError:
                        pass
    for report in puppet.reports():
        check("answer = 42" in section(report, "Mine"))
        check(f"Thread #{puppet.pid}" in section(report, "Threads"), "a report without threads")


@suite.test
def a_process_that_gave_up_root_is_not_dumpable(t):
    if os.geteuid() != 0:
        raise Skip("needs root")
    # Without CAP_SYS_PTRACE for the inspector either: it runs as nobody.
    puppet = Puppet(t, "threads 3", stderr=None).setup(control_socket=2)
    check(puppet(f"setuid {NOBODY}") == 0)
    check_fallback(document_of_fd(t, puppet), puppet, "")


def document_of_fd(t, puppet):
    path = t.tmp / "given.json"
    path.touch()
    path.chmod(0o666)
    fd = puppet(f"open {path}")
    check(puppet(f"write {fd} 2") == 0)
    return valid(t, path.read_text())


@suite.test
def a_chroot_without_proc(t):
    if os.geteuid() != 0:
        raise Skip("needs root")
    empty = t.directory("empty")
    puppet = Puppet(t, "threads 3").setup()
    check(puppet(f"chroot {empty}") == 0)
    puppet("chdir /")
    fd = puppet("open /report.json")
    check(puppet(f"write {fd} 2") == 0)
    document = valid(t, (empty / "report.json").read_text())
    check(len(document["threads"]) >= 5, document["threads"])
    check(sum("pause" in functions(document, thread) for thread in document["threads"]) == 3, document["stacks"])
    section(puppet.report(), "Threads")


@suite.test
def threads_that_take_no_signal_are_named(t):
    puppet = Puppet(t, "set inspector /nonexistent", "be deaf").setup()
    document = document_of(t, puppet)
    deaf = [thread for thread in document["threads"] if "blocks the signal" in thread.get("problem", "")]
    check(len(deaf) == 1 and deaf[0]["name"] == "puppet", document["threads"])


suite.main()
