"""Goroutines from outside against Go's own dump on SIGQUIT: plain, position-independent and stripped programs."""
import re
import shutil
import signal
import subprocess

from common import Skip, check, suite
from source import HERE, run


def build(t, *options):
    if not shutil.which("go"):
        raise Skip("there is no go command (golang-go)")
    cache = t.tmp.parent / "gmr-go-cache"
    cache.mkdir(exist_ok=True)
    program = t.tmp / "goroutines"
    environment = t.environment(GOCACHE=str(cache), GOFLAGS="", GOPROXY="off", GO111MODULE="off")
    result = subprocess.run(["go", "build", "-o", program, *options, HERE / "goroutines" / "main.go"], env=environment,
                            capture_output=True, text=True, timeout=240, check=False)
    check(result.returncode == 0, result.stderr)
    return program


def start(t, *options, arguments=()):
    # A pipe that nobody writes to: one goroutine is in a system call that does not end.
    process = t.spawn([build(t, *options), *arguments], stdin=subprocess.PIPE, env=t.environment(GOTRACEBACK="system"))
    t.wait(lambda: "ready" in process.stdout_text(), "the goroutines to stand", alive=process)
    return process


def own_dump(process):
    """{id: (state, [[function, file, line]])} of Go's own traceback; no frames where Go has none to show."""
    process.kill(signal.SIGQUIT)
    process.popen.wait(60)
    found = {}
    for block in process.stderr_text().split("\n\n"):
        lines = block.strip().splitlines()
        head = re.match(r"goroutine (\d+)(?: gp=.*)? \[([^\],]*)", lines[0]) if lines else None
        if not head or head[1] == "0":
            continue
        frames = []
        for function, place in zip(lines[1::2], lines[2::2]):
            if function.startswith(("created by", "\t")):
                break
            file, number = re.match(r"\t(.*):(\d+)", place).groups()
            frames.append([function[:function.rindex("(")], file, int(number)])
        found[int(head[1])] = (head[2], frames)
    return found


def compare(stacks, own):
    mine = {int(s.number): s for s in stacks if s.kind == "goroutine"}
    check(sorted(mine) == sorted(own), "goroutines:", sorted(mine), "are not", sorted(own))
    walked = 0
    for number, (state, frames) in own.items():
        # What runs has gone on in between: Go's own dump interrupts it first.
        if not frames or state in ("running", "runnable"):
            continue
        check(mine[number].frames == frames, f"goroutine {number} [{state}]:", mine[number].frames, "is not", frames)
        check(mine[number].end is None, mine[number].end)
        if state != "syscall":
            check(mine[number].fields["wait"] == state, f"goroutine {number} waits for", mine[number].fields["wait"], "not", state)
        walked += 1
    return walked


def same_as_the_own_dump(t, *options):
    process = start(t, *options)
    stacks, notes = run(t, process.pid, "go")
    check(notes == "", notes)
    spinning = [s for s in stacks if s.kind == "goroutine" and "main.spin" in [f[0] for f in s.frames]]
    check(len(spinning) == 1, "the goroutine that runs is not seen", [vars(s) for s in stacks if s.kind and s.fields["state"] in "23"])
    check(spinning[0].frames[-1][0] == "runtime.goexit" and spinning[0].end is None, spinning[0].frames)
    check(compare(stacks, own_dump(process)) > 17, "Go itself showed too few stacks")


@suite.test
def a_plain_program(t):
    same_as_the_own_dump(t)


@suite.test
def a_stripped_program(t):
    same_as_the_own_dump(t, "-ldflags", "-s -w")


@suite.test
def a_position_independent_program(t):
    same_as_the_own_dump(t, "-buildmode=pie")


@suite.test
def a_stripped_position_independent_program(t):
    same_as_the_own_dump(t, "-buildmode=pie", "-ldflags", "-s -w")


@suite.test
def twenty_thousand_goroutines(t):
    process = start(t, arguments=["20000"])
    stacks, notes = run(t, process.pid, "go")
    check(notes == "", notes)
    same = [s for s in stacks if s.kind == "goroutine" and [f[0] for f in s.frames].count("main.deep") == 11]
    check(len(same) == 20000, len(same))


@suite.test
def memory_that_lies_does_no_harm(t):
    process = start(t)
    for seed in range(1, 31):
        run(t, process.pid, "go", 2 + seed, seed)
    check(process.alive())


suite.main()
