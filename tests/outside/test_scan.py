"""Fibers discovered in memory: exactly those that there are, in programs that know nothing of gmr."""
import shutil
import subprocess

from common import Skip, check, suite
from source import HERE, run


def build(t, source, *options):
    if not shutil.which("g++"):
        raise Skip("there is no g++")
    program = t.tmp / "fibers"
    result = subprocess.run(["g++", "-O2", "-g", HERE / source, "-o", program, *options], capture_output=True, text=True,
                            timeout=240, check=False)
    if "boost" in result.stderr and "No such file" in result.stderr:
        raise Skip("there is no Boost.Context (libboost-context-dev)")
    check(result.returncode == 0, result.stderr)
    return program


def sleeps(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "S"


def start(t, program, *arguments):
    process = t.spawn([program, *arguments])
    t.wait(lambda: "ready" in process.stdout_text(), "the fibers to stand", alive=process)
    # "ready" comes right before pause(): until it sleeps, main's own frames still move.
    if "go" not in arguments:
        t.wait(lambda: sleeps(process.pid), "the program to sleep")
    return process


@suite.test
def a_thousand_fibers_after_two_hundred_thousand_switches(t):
    program = build(t, "fibers.cpp", "-lboost_context")
    for count, switches in ((1000, 200000), (1000, 0), (1, 5), (37, 1000), (3000, 1000000)):
        process = start(t, program, count, switches)
        stacks, notes = run(t, process.pid, "scan")
        check(notes == "", notes)
        check(len(stacks) == count, f"{len(stacks)} fibers of {count} after {switches} switches")
        check({s.kind for s in stacks} == {"Boost.Context fiber"})
        process.stop()


@suite.test
def fibers_that_go_on_switching(t):
    program = build(t, "fibers.cpp", "-lboost_context")
    process = start(t, program, 1000, 200000, "go")
    for _ in range(5):
        stacks, notes = run(t, process.pid, "scan")
        check(notes == "", notes)
        # One may have run while the memory was searched, before the stop, and another one at the stop.
        check(len(stacks) in (998, 999, 1000), len(stacks))


@suite.test
def each_has_the_stack_it_can_have(t):
    process = start(t, build(t, "fibers.cpp", "-lboost_context"), 200, 5000)
    document = t.report(process.pid)
    threads = document["green_threads"]
    check(len(threads) == 200, len(threads))
    for thread in threads:
        check(thread["discovered"] is True and thread["state"] == "suspended", thread)
        names = [frame.get("function", "") for frame in document["stacks"][thread["stack"]]["frames"]]
        deep = [name for name in names if name == "descend"]
        check(1 <= len(deep) <= 21 and "fiber_body" in names, names)


@suite.test
def a_program_that_calls_no_switch_routine_is_not_scanned(t):
    process = t.spawn(["/bin/sleep", "1000"])
    stacks, notes = run(t, process.pid, "scan", code=1)
    check(not stacks and not notes)


@suite.test
def memory_that_lies_does_no_harm(t):
    process = start(t, build(t, "fibers.cpp", "-lboost_context"), 200, 5000)
    for seed in range(1, 21):
        run(t, process.pid, "scan", 2 + seed, seed)
    check(process.alive())


suite.main()
