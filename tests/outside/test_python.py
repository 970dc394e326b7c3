"""CPython from outside: OS threads, greenlets and asyncio tasks against what the program says of itself.

GMR_TEST_PYTHONS may name more interpreters (separated by colons) beside Debian's; each is put to the same test."""
import json
import os

from common import check, suite
from source import HERE, run


def interpreters():
    return ["/usr/bin/python3"] + [path for path in os.environ.get("GMR_TEST_PYTHONS", "").split(":") if path]


def start(t, interpreter, *arguments):
    truth = t.tmp / "truth.json"
    process = t.spawn([interpreter, HERE / "pythons.py", truth, *arguments])
    t.wait(truth.exists, "the program to stand still", alive=process)
    return process, json.loads(truth.read_text())


def plain(frames):
    """Qualified names as Python's own traceback prints them: their last part."""
    return [[name if name.startswith("<") else name.rsplit(".", 1)[-1], file, line] for name, file, line in frames]


def compare(truth, stacks):
    threads = {str(s.tid): plain(s.frames) for s in stacks if s.tid}
    for tid, frames in truth["threads"].items():
        check(threads.get(tid) == frames, f"OS thread {tid}:", threads.get(tid), "is not", frames)
    greenlets = [plain(s.frames) or None for s in stacks if s.kind == "greenlet"]
    check(greenlets == truth["greenlets"], "greenlets:", greenlets, "are not", truth["greenlets"])
    tasks = {s.fields["name"]: s for s in stacks if s.kind == "asyncio task"}
    for name, functions, wait in (("first", ["innermost", "middle", "outer"], "Future"),
                                  ("consumer", ["innermost", "middle", "generate", "consume"], "Future"),
                                  ("sl\u00e9eper", ["sleep", "sleeper"], "Future"),
                                  ("on-first", ["awaits_task"], "first")):
        check(name in tasks, f"no task {name} in", sorted(tasks))
        check([frame[0] for frame in tasks[name].frames] == functions, f"task {name}:", tasks[name].frames)
        check(tasks[name].fields["wait"] == wait, f"task {name} waits for", tasks[name].fields["wait"])


@suite.test
def threads_greenlets_and_tasks_are_those_the_program_sees(t):
    for interpreter in interpreters():
        process, truth = start(t, interpreter)
        stacks, notes = run(t, process.pid, "python")
        check(notes == "", notes)
        compare(truth, stacks)
        if interpreter == "/usr/bin/python3":
            check(len(truth["greenlets"]) == 9, "the program has no greenlets: is python3-greenlet there?")
            states = [s.fields["state"] for s in stacks if s.kind == "greenlet"]
            check(sorted(states) == ["1", "2", "4", "4", "4", "4", "4", "4", "7"], "states", states)
        process.stop()
        (t.tmp / "truth.json").unlink()


@suite.test
def an_interpreter_stuck_in_a_c_call_is_read_all_the_same(t):
    process, truth = start(t, "/usr/bin/python3", "stuck")
    for _ in range(2):
        stacks, _ = run(t, process.pid, "python")
        compare(truth, stacks)
        main = next(s for s in stacks if s.tid == process.pid)
        check([frame[0] for frame in main.frames] == ["main", "<module>"], main.frames)


@suite.test
def green_threads_that_allocate_and_switch_all_the_time_are_all_found(t):
    for library, name in (("eventlet", "GreenThread"), ("gevent", "Greenlet")):
        process = t.spawn(["/usr/bin/python3", HERE / "greens_busy.py", library, 1000])
        t.wait(lambda process=process: "ready" in process.stdout_text(), "the green threads to run", alive=process)
        for _ in range(5):
            stacks, notes = run(t, process.pid, "python")
            check(notes == "", notes)
            found = [s for s in stacks if s.kind == "greenlet" and s.fields["name"] == name]
            check(len(found) == 1000, library, len(found))
            # The one that runs has its functions on its OS thread; another may be just about to be switched to.
            workers = [s for s in stacks if "worker" in [frame[0] for frame in s.frames]]
            check(len(workers) >= 999, library, len(workers))
        process.stop()


@suite.test
def green_threads_that_come_and_go_leave_the_others_whole(t):
    process = t.spawn(["/usr/bin/python3", HERE / "greens_busy.py", "eventlet", 200, 20])
    t.wait(lambda: "ready" in process.stdout_text(), "the green threads to run", alive=process)
    for _ in range(5):
        stacks, notes = run(t, process.pid, "python")
        check(notes == "", notes)
        greens = [s for s in stacks if s.kind == "greenlet" and s.frames]
        check(len([s for s in greens if "worker" in [f[0] for f in s.frames]]) >= 199, len(greens))
        check([s for s in greens if s.frames[-1][0] == "spawner" or "spawner" in [f[0] for f in s.frames]], "no spawner")


@suite.test
def memory_that_lies_does_no_harm(t):
    process, _ = start(t, "/usr/bin/python3")
    for seed in range(1, 31):
        run(t, process.pid, "python", 5 + seed * 7, seed)
    check(process.alive())


@suite.test
def a_program_without_python_has_none(t):
    process = t.spawn(["/bin/sleep", "1000"])
    stacks, notes = run(t, process.pid, "python", code=1)
    check(not stacks and not notes)


suite.main()
