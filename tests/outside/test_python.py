"""CPython from outside: OS threads, greenlets and asyncio tasks against what the program says of itself."""
from common import check, suite
from python_truth import Python, check_busy, compare
from source import run


@suite.test
def threads_greenlets_and_tasks_are_those_the_program_sees(t):
    process, truth = Python().start(t)
    stacks, notes = run(t, process.pid, "python")
    check(notes == "", notes)
    compare(truth, stacks)
    check(len(truth["greenlets"]) == 9, "the program has no greenlets: is python3-greenlet there?")
    states = [s.fields["state"] for s in stacks if s.kind == "greenlet"]
    check(sorted(states) == ["1", "2", "4", "4", "4", "4", "4", "4", "7"], "states", states)


@suite.test
def an_interpreter_stuck_in_a_c_call_is_read_all_the_same(t):
    process, truth = Python().start(t, "stuck")
    for _ in range(2):
        stacks, _ = run(t, process.pid, "python")
        compare(truth, stacks)
        main = next(s for s in stacks if s.tid == process.pid)
        check([frame[0] for frame in main.frames] == ["main", "<module>"], main.frames)


@suite.test
def green_threads_that_allocate_and_switch_all_the_time_are_all_found(t):
    for library in ("eventlet", "gevent"):
        check_busy(t, Python(), library)


@suite.test
def green_threads_that_come_and_go_leave_the_others_whole(t):
    process = Python().spawn(t, "greens_busy.py", "eventlet", 200, 20)
    t.wait(lambda: "ready" in process.stdout_text(), "the green threads to run", alive=process)
    for _ in range(5):
        stacks, notes = run(t, process.pid, "python")
        check(notes == "", notes)
        greens = [s for s in stacks if s.kind == "greenlet" and s.frames]
        check(len([s for s in greens if "worker" in [f[0] for f in s.frames]]) >= 199, len(greens))
        check([s for s in greens if s.frames[-1][0] == "spawner" or "spawner" in [f[0] for f in s.frames]], "no spawner")


@suite.test
def memory_that_lies_does_no_harm(t):
    process, _ = Python().start(t)
    for seed in range(1, 31):
        run(t, process.pid, "python", 5 + seed * 7, seed)
    check(process.alive())


@suite.test
def a_program_without_python_has_none(t):
    process = t.spawn(["/bin/sleep", "1000"])
    stacks, notes = run(t, process.pid, "python", code=1)
    check(not stacks and not notes)


suite.main()
