"""Processes that get no processor, no memory or no disk, that are frozen, or that are very many: reports from within and from outside."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import Skip, check, functions, suite  # noqa: E402
from puppet import Puppet, section  # noqa: E402
from sick import Sick, look, status_of, valid  # noqa: E402

WHOLE = os.environ.get("GMR_FAULTS") == "whole"


def from_outside(t, pid, *options, codes=(0, 1)):
    """gmr report, and that the process is as it was."""
    before = look(pid)
    result = t.gmr("report", pid, "--format", "json", *options)
    check(result.returncode in codes, f"gmr report ended with {result.returncode}:", result.stderr)
    document = valid(t, result.stdout)
    t.wait(lambda: not look(pid)["held"] and look(pid)["threads"] == before["threads"], "the process as it was")
    return document


def doing(document, name):
    """How many threads have such a function in their stack."""
    return sum(any(name in function for function in functions(document, thread)) for thread in document["threads"])


def tasks(pid):
    return [int(tid) for tid in os.listdir(f"/proc/{pid}/task")]


@suite.test
def every_thread_spins_at_real_time_priority(t):
    puppet = Sick(t, "be spinning", "be spinning", "be spinning", "register Mine plain").setup(report_timeout_ms=60000)
    # All on one processor, which they never give up; the kernel leaves 5 % of it to the rest (sched_rt_runtime_us).
    processor = min(os.sched_getaffinity(0))
    ours = [tid for tid in tasks(puppet.pid)
            if not pathlib.Path(f"/proc/{puppet.pid}/task/{tid}/comm").read_text().startswith("gmr-")]
    try:
        for tid in tasks(puppet.pid):
            os.sched_setaffinity(tid, {processor})
        for tid in ours:
            os.sched_setscheduler(tid, os.SCHED_FIFO, os.sched_param(10))
    except PermissionError as error:
        raise Skip("real-time priority is not allowed here") from error
    document = from_outside(t, puppet.pid)
    check(doing(document, "spin") == 3, document["report"])
    for tid in ours:  # its own commands need a processor, too
        if tid == puppet.pid:
            os.sched_setscheduler(tid, os.SCHED_OTHER, os.sched_param(0))
    check("answer = 42" in section(puppet.report(), "Mine"))


@contextlib.contextmanager
def group_of(controller, t):
    """A control group of version 1 or 2 below the test's own."""
    own = dict(line.split(":", 2)[1:] for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines())
    old, new = pathlib.Path(f"/sys/fs/cgroup/{controller}"), pathlib.Path("/sys/fs/cgroup")
    if controller in own and (old / own[controller].lstrip("/")).is_dir():
        group = old / own[controller].lstrip("/") / f"gmr-test-{os.getpid()}"
    elif (new / "cgroup.controllers").exists():
        group = new / f"gmr-test-{os.getpid()}"
    else:
        raise Skip(f"no control group of memory and freezer is mounted ({controller})")
    try:
        group.mkdir()
    except OSError as error:
        raise Skip(f"no control group can be made: {error}") from error
    try:
        yield group
    finally:
        with contextlib.suppress(OSError):
            (group / "freezer.state").write_text("THAWED") if (group / "freezer.state").exists() else (group / "cgroup.freeze").write_text("0")
        t.wait(lambda: remove(group), "the control group to be empty")


def remove(group):
    """What is in it goes back to where it came from."""
    with contextlib.suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (group.parent / "cgroup.procs").write_text(pid)
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@suite.test
def a_limit_of_memory(t):
    with group_of("memory", t) as group:
        limit = next((group / name for name in ("memory.limit_in_bytes", "memory.max") if (group / name).exists()), None)
        if limit is None:
            raise Skip("the memory controller is not to be had here")
        puppet = Sick(t, "register Mine plain", "threads 3").setup()
        (group / "cgroup.procs").write_text(str(puppet.pid))
        for mebibytes in (256, 24, 12, 6, 3):
            try:
                limit.write_text(str(mebibytes << 20))
            except OSError:
                break  # more is in use
            # The inspector, which is in the same group, is the first to go.
            check("answer = 42" in section(puppet.report(), "Mine"))
            check(puppet.process.alive())
            check(len(puppet.last["threads"]) >= 6, mebibytes, puppet.last["report"])


@suite.test
def frozen_by_its_control_group(t):
    with group_of("freezer", t) as group:
        puppet = Sick(t, "threads 3", "register Mine plain").setup()
        (group / "cgroup.procs").write_text(str(puppet.pid))
        if (group / "freezer.state").exists():
            (group / "freezer.state").write_text("FROZEN")
            t.wait(lambda: (group / "freezer.state").read_text().strip() == "FROZEN", "it to be frozen")
        else:
            (group / "cgroup.freeze").write_text("1")
            t.wait(lambda: "frozen 1" in (group / "cgroup.events").read_text(), "it to be frozen")
        document = from_outside(t, puppet.pid)
        reasons = {thread.get("problem", "a stack") for thread in document["threads"]}
        # Some waits are frozen in place since Linux 6.1 and look like any other; in version 2 a frozen thread can be stopped.
        check(any("frozen" in reason or reason == "a stack" for reason in reasons), reasons)
        check(all("can't be stopped" in reason or reason == "a stack" for reason in reasons), reasons)
        puppet.signal()  # answered when it can
        if (group / "freezer.state").exists():
            (group / "freezer.state").write_text("THAWED")
        else:
            (group / "cgroup.freeze").write_text("0")
        t.wait(lambda: puppet.reports(), "the report that was asked for meanwhile")
        check("answer = 42" in section(puppet.report(), "Mine"))


def quiet(*command):
    return subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


@suite.test
def a_thread_in_uninterruptible_sleep(t):
    needed = ("mkfs.ext4", "mount", "umount", "fsfreeze")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    tools = {name: shutil.which(name, path=path) for name in needed}
    if os.geteuid() != 0 or not all(tools.values()):
        raise Skip("needs root and " + ", ".join(needed))
    image, mounted = t.tmp / "image", t.directory("mounted")
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    if not quiet(tools["mkfs.ext4"], "-q", "-F", image) or not quiet(tools["mount"], "-o", "loop", image, mounted):
        raise Skip("a file system can't be mounted from a file here")
    t.cleanup(quiet, tools["umount"], "-l", mounted)
    puppet = Sick(t, "threads 2", "register Mine plain").setup()
    # A write into a file system that is frozen waits where no signal reaches it, as one to a dead disk does.
    puppet(f"be writing {mounted}/file")
    t.wait(lambda: (mounted / "file").exists(), "the first write")
    check(quiet(tools["fsfreeze"], "-f", mounted), "the file system can't be frozen")
    t.cleanup(quiet, tools["fsfreeze"], "-u", mounted)
    try:
        states = lambda: [path.read_text().rsplit(")", 1)[1].split()[0] for path in pathlib.Path(f"/proc/{puppet.pid}/task").glob("*/stat")]
        t.wait(lambda: "D" in states(), "the writer to hang")
        for document in (from_outside(t, puppet.pid), from_outside(t, puppet.pid, "--all-at-once"), puppet.document()):
            hangs = [thread for thread in document["threads"] if thread["state"] == "disk-sleep"]
            check(len(hangs) == 1 and "uninterruptible" in hangs[0]["problem"], document["threads"])
            check(status_of(document, "threads")["status"] == "partial", document["report"])
            check(doing(document, "pause") >= 2, document["threads"])
        puppet("set inspector /nonexistent")
        puppet.setup()
        document = puppet.document()
        check(any("uninterruptible" in thread.get("problem", "") for thread in document["threads"]), document["threads"])
    finally:
        quiet(tools["fsfreeze"], "-u", mounted)
    check("answer = 42" in section(puppet.report(), "Mine"))


@suite.test
def thousands_of_threads(t):
    count = 25000 if WHOLE else 3000
    puppet = Sick(t, "register Mine plain")
    if puppet(f"threads {count}") != count:
        raise Skip(f"{count} threads are not allowed here")
    puppet.setup(report_timeout_ms=60000)
    for document in (from_outside(t, puppet.pid), puppet.document()):
        check(doing(document, "pause") == count, document["report"])
    puppet("set inspector /nonexistent")
    puppet.setup()
    document = puppet.document()
    check(document["report"]["method"] == "signal" and len(document["threads"]) >= count, document["report"])
    check(doing(document, "pause") == count, status_of(document, "threads"))


@suite.test
def the_disk_is_full(t):
    if os.geteuid() != 0:
        raise Skip("needs root")
    logs = t.directory("logs")
    if not quiet("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", logs):
        raise Skip("no file system can be mounted here")
    t.cleanup(quiet, "umount", "-l", logs)
    (logs / "full").write_bytes(b"x" * (12 << 10))
    puppet = Sick(t, "register Mine plain").setup(log_dir=logs)
    check("answer = 42" in section(puppet.report(), "Mine"))
    check(os.listdir(logs) == ["full"], "half a report is left on the full disk:", os.listdir(logs))
    check(re.search("ENOSPC|No space left", puppet.stderr()), puppet.stderr()[-500:])


@suite.test
def nobody_reads_standard_error(t):
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    puppet = Sick(t, "register Mine plain", stderr=write)
    os.close(write)
    puppet.t.cleanup(os.close, read)
    puppet.setup(report_timeout_ms=2000, min_interval_ms=1)
    before = look(puppet.pid)
    puppet.signal()
    for _ in range(20):  # the daemon answers all the while
        check(puppet("armed") > 0)

    def next_one():
        try:
            return puppet.document()
        except AssertionError as error:
            if "-110" in str(error):
                return None
            raise
    t.wait(next_one, "the next report, once that one was given up")
    puppet.as_before(before)


@suite.test
def two_who_ask_at_once(t):
    puppet = Sick(t, "threads 100", "register Mine plain").setup(min_interval_ms=1)
    for _ in range(3 if not WHOLE else 30):
        documents, errors = [], []

        def ask():
            try:
                documents.append(from_outside(t, puppet.pid))
            except AssertionError as error:
                errors.append(error)
        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        puppet.report()
        for asker in askers:
            asker.join()
        check(not errors, errors)
        for document in (*documents, puppet.last):
            for thread in document["threads"]:
                check("stack" in thread or "traced by" in thread["problem"] or "in time" in thread["problem"], thread)
    check(functions(from_outside(t, puppet.pid), {"stack": 0}), "the last one, alone")


@suite.test
def of_oneself_and_of_those_above(t):
    result = subprocess.run(["/bin/sh", "-c", f"exec {t.build('gmr')} report $$ --format json"], capture_output=True, text=True, check=False)
    check(result.returncode in (2, 5) and result.stderr and not result.stdout, result)
    # The parent waits for us in a call; the report names its stack and lets it go on.
    result = subprocess.run(["/bin/sh", "-c", f"{t.build('gmr')} report $$ --format json; echo done >&2"], capture_output=True, text=True, check=False)
    document = valid(t, result.stdout)
    check("wait4" in str(functions(document, document["threads"][0])) and result.stderr.strip() == "done", result.stderr, document["threads"])


@suite.test
def a_process_that_ends_meanwhile(t):
    for _ in range(10 if not WHOLE else 100):
        puppet = Puppet(t, "threads 200")
        result = []
        asker = threading.Thread(target=lambda: result.append(t.gmr("report", puppet.pid, "--format", "json")))
        asker.start()
        t.wait(lambda: re.search(r"^TracerPid:\s*[1-9]", pathlib.Path(f"/proc/{puppet.pid}/status").read_text(), re.M) or not asker.is_alive(),
               "somebody to look")
        puppet.kill = os.kill(puppet.pid, signal.SIGKILL)
        asker.join()
        check(result[0].returncode in (0, 1, 3, 5), result[0])
        if result[0].returncode in (0, 1):
            valid(t, result[0].stdout)
        else:
            check(result[0].stderr and not result[0].stdout, result[0])


suite.main()
