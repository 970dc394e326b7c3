"""heat-engine from Debian's package: gmr's report of each of its processes against Heat's own on SIGUSR2.

It runs without any server (`transport_url = fake://`, SQLite). Where the interpreter is stuck in a C call Heat's own report does
not come, and gmr's must be as good as before."""
import os
import shutil
import signal

from common import Skip, check, suite
from oslo import children, gmr_report, ordered, same

WORKERS = 3

CONFIG = """[DEFAULT]
transport_url = fake://
num_engine_workers = {workers}
auth_encryption_key = 0123456789abcdef0123456789abcdef
use_stderr = true
host = localhost
[database]
connection = sqlite:///{directory}/heat.db
[oslo_messaging_notifications]
driver = noop
"""

# Python runs this at start: SIGWINCH then sends the interpreter into a C library's lock that nobody will ever release.
STUCK = """import ctypes
import signal


def stuck_in_c(number, frame):
    mutex = ctypes.create_string_buffer(64)
    libc = ctypes.PyDLL(None)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


signal.signal(signal.SIGWINCH, stuck_in_c)
"""


def start(t):
    if not shutil.which("heat-engine"):
        raise Skip("there is no heat-engine")
    config = t.tmp / "heat.conf"
    config.write_text(CONFIG.format(directory=t.tmp, workers=WORKERS))
    (t.tmp / "sitecustomize.py").write_text(STUCK)
    # The package says #!/usr/bin/python3; a developer's PATH may hold others.
    environment = t.environment(PYTHONPATH=str(t.tmp), HOME=str(t.tmp), PYTHONDONTWRITEBYTECODE="1")
    sync = t.spawn(["heat-manage", "--config-file", config, "db_sync"], env=environment)
    check(sync.popen.wait(120) == 0, sync.stderr_text()[-2000:])
    engine = t.spawn(["heat-engine", "--config-file", config], env=environment)
    t.cleanup(lambda: [os.kill(pid, signal.SIGKILL) for pid in children(engine.pid)] if engine.alive() else None)
    t.wait(lambda: engine.stderr_text().count("Starting engine_worker") == WORKERS, "the workers to start", alive=engine)
    return engine, [engine.pid, *children(engine.pid)]


@suite.test
def every_process_has_the_green_threads_that_heat_itself_reports(t):
    engine, pids = start(t)
    check(len(pids) == WORKERS + 1, pids)
    for pid in pids:
        stacks = same(t, engine, pid)
        if pid != engine.pid:
            check(len([stack for stack in stacks if stack]) >= 5, "a worker has several green threads:", stacks)
    # The launcher has frozen its objects: Heat's own report shows none of its green threads, gmr does.
    frozen = gmr_report(t, engine.pid)[1]
    check(len(frozen) >= 2, frozen)
    for pid in pids:
        document = gmr_report(t, pid)[2]
        leader = next(thread for thread in document["threads"] if thread["id"] == pid)
        functions = [f["function"] for f in document["stacks"][leader["stack"]]["frames"] if f.get("language") == "python"]
        check("BaseHub.run" in functions, functions)


@suite.test
def a_worker_stuck_in_a_c_call_is_reported_all_the_same(t):
    engine, pids = start(t)
    worker = pids[1]
    before = same(t, engine, worker)
    os.kill(worker, signal.SIGWINCH)

    def stuck():
        document = t.report(worker, codes=(0, 1))
        leader = next(thread for thread in document["threads"] if thread["id"] == worker)
        frames = document["stacks"][leader["stack"]]["frames"]
        return document if [f["function"] for f in frames if f.get("language") == "python"][:1] == ["stuck_in_c"] else None
    document = t.wait(stuck, "the interpreter to be stuck")
    frames = document["stacks"][next(x for x in document["threads"] if x["id"] == worker)["stack"]]["frames"]
    check(any("lock" in (f.get("function") or "") for f in frames), "the C call is not there:", frames)
    expected = ordered([stack for stack in before if stack])

    def as_before():
        return ordered([stack for stack in gmr_report(t, worker)[0] if stack]) == expected
    t.wait(as_before, "the green threads there were before")
    # Heat's own report can't come: its signal handler is Python, too.
    size = len(engine.stderr_text())
    os.kill(worker, signal.SIGUSR2)
    t.wait(as_before, "them once more")
    check("Guru Meditation" not in engine.stderr_text()[size:], "Heat's own report came: it was not stuck")


suite.main()
