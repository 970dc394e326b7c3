"""heat-engine from Debian's package: gmr's report of each of its processes against Heat's own on SIGUSR2.

It runs without any server (`transport_url = fake://`, SQLite). Where the interpreter is stuck in a C call Heat's own report does
not come, and gmr's must be as good as before."""
import os
import re
import shutil
import signal

from common import Skip, check, suite

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


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


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


def own_report(t, engine, pid):
    """Heat's own: a list of stacks (functions, files, lines and their text, innermost first), None for "No Traceback!"."""
    before = len(engine.stderr_text())
    os.kill(pid, signal.SIGUSR2)
    t.wait(lambda: re.search(r"^====  +Configuration  +====$", engine.stderr_text()[before:], re.M), "Heat's own report")
    text = engine.stderr_text()[before:]
    text = text[text.index("Green Threads"):text.index("Processes     ")]
    stacks = []
    for block in re.split(r"^------ +Green Thread +------$", text, flags=re.M)[1:]:
        frames = re.findall(r"^(\S.*):(\d+) in (.*)\n(?: +`(.*)`$)?", block, flags=re.M)
        stacks.append([[function, file, int(line), source] for file, line, function, source in reversed(frames)] or None)
    return stacks


def python_frames(document, thread):
    if "stack" not in thread or thread["state"] == "running":
        return None  # Heat's own has no stack for the one that makes the report
    frames = [frame for frame in document["stacks"][thread["stack"]]["frames"] if frame.get("language") == "python"]
    return [[re.sub(r".*\.", "", f["function"]) if not f["function"].startswith("<") else f["function"], f["file"], f["line"],
             f.get("source", "")] for f in frames] or None


def gmr_report(t, pid):
    """(stacks that gc.get_objects() lists, those that gc.freeze() has put aside, the document)."""
    document = t.report(pid, codes=(0, 1))  # 1: on a machine with more to do than it can, the time for a section may not last
    listed, frozen = [], []
    for thread in document["green_threads"]:
        check(thread["kind"] == "greenlet", thread)
        (frozen if "gc.freeze" in thread.get("problem", "") else listed).append(python_frames(document, thread))
    return listed, frozen, document


def ordered(stacks):
    return sorted(stacks, key=repr)


def same(t, engine, pid):
    """Both reports, taken until no green thread moved in between; the stacks."""
    found = {}

    def alike():
        found["mine"] = gmr_report(t, pid)[0]
        found["own"] = own_report(t, engine, pid)
        return ordered(found["mine"]) == ordered(found["own"])
    try:
        t.wait(alike, "two reports alike")
    except AssertionError as error:
        raise AssertionError(f"process {pid}: gmr says {ordered(found['mine'])}, Heat says {ordered(found['own'])}") from error
    return found["own"]


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
