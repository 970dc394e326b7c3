"""Goroutines from outside against Go's own dump on SIGQUIT: plain, position-independent and stripped programs, cgo, core files.

GMR_GO names another release's go command (tools/check-go). GREEN_REPORTS: how many reports of a program whose goroutines switch without pause
(10; `make soak`: 1,000).
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from common import Skip, check, suite
from source import HERE, run


GO = os.environ.get("GMR_GO", "go")


def build(t, *options, source="goroutines"):
    if not shutil.which(GO):
        raise Skip("there is no go command (golang-go)")
    cache = t.tmp.parent / "gmr-go-cache"
    cache.mkdir(exist_ok=True)
    program = t.tmp / source
    environment = t.environment(GOCACHE=str(cache), GOFLAGS="", GOPROXY="off", GO111MODULE="off", GOTOOLCHAIN="local", GOTELEMETRY="off",
                                GOPATH=str(t.tmp / "path"))
    result = subprocess.run([GO, "build", "-o", program, *options, HERE / source / "main.go"], env=environment,
                            capture_output=True, text=True, timeout=240, check=False)
    check(result.returncode == 0, result.stderr)
    return program


def start(t, *options, arguments=(), source="goroutines"):
    # A pipe that nobody writes to: one goroutine is in a system call that does not end.
    process = t.spawn([build(t, *options, source=source), *arguments], stdin=subprocess.PIPE, env=t.environment(GOTRACEBACK="system"))
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


def short(function):
    """As newer releases print it: without the types that a generic function is made for."""
    return re.sub(r"\[.*\]", "[...]", function or "")


def compare(stacks, own):
    mine = {int(s.number): s for s in stacks if s.kind == "goroutine"}
    check(sorted(mine) == sorted(own), "goroutines:", sorted(mine), "are not", sorted(own))
    walked = 0
    for number, (state, frames) in own.items():
        # What runs has gone on in between: Go's own dump interrupts it first.
        if not frames or state in ("running", "runnable"):
            continue
        frames = [[short(frame[0]), *frame[1:]] for frame in frames]
        mine[number].frames = [[short(frame[0]), *frame[1:]] for frame in mine[number].frames]
        check(mine[number].frames == frames, f"goroutine {number} [{state}]:", mine[number].frames, "is not", frames)
        check(mine[number].end is None, mine[number].end)
        if state != "syscall":
            check(mine[number].fields["wait"] == state, f"goroutine {number} waits for", mine[number].fields["wait"], "not", state)
        walked += 1
    return walked


def same_as_the_own_dump(t, *options):
    process = start(t, *options)
    def seen():
        # It may be in the handler of the runtime's own preemption signal, at a point where nothing tells where it was.
        stacks, notes = run(t, process.pid, "go")
        check(notes == "", notes)
        spinning = [s for s in stacks if s.kind == "goroutine" and "main.spin" in [f[0] for f in s.frames]]
        check(len(spinning) <= 1, spinning)
        return (stacks, spinning) if spinning else None
    stacks, spinning = t.wait(seen, "the goroutine that runs")
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


def whole_report(t, pid):
    """One for which every OS thread did stop in time: on a loaded machine one may not."""
    def whole():
        document = t.report(pid, codes=(0, 1))
        return document if document["report"]["status"] == "complete" else None
    return t.wait(whole, "a whole report")


def functions_of(document, thread):
    stack = document["stacks"][thread["stack"]]
    return [frame.get("function") for frame in stack["frames"]], stack.get("end")


@suite.test
def those_in_c_have_its_frames_before_their_own(t):
    process = start(t, source="goroutines_c")
    document = whole_report(t, process.pid)
    goroutines = document["green_threads"]
    in_c = [g for g in goroutines if g["state"] == "syscall"]
    check(len(in_c) == 3, goroutines)
    for goroutine in in_c:
        functions, end = functions_of(document, goroutine)
        check("pause" in functions[0], functions)
        check(functions[1:-2] == ["c_sleep"] * 4 + ["runtime.cgocall", "main._Cfunc_c_sleep"] + ["main.intoC"] * 3, functions)
        check(functions[-2] in ("main.main.func1", "main.main.gowrap1") and functions[-1] == "runtime.goexit", functions)
        check(end is None, end)
    back, = [functions_of(document, g) for g in goroutines if "main.backInGo" in functions_of(document, g)[0]]
    functions = [name for name in back[0] if name.startswith("main.")]
    check(functions[0] == "main.backInGo" and functions.count("main.backInGo") == 2, back[0])
    check(functions.count("main._Cfunc_c_calls_back") == 2 and back[0][-1] == "runtime.goexit" and back[1] is None, back)


@suite.test
def stacks_that_change_all_the_time_are_whole(t):
    process = start(t, arguments=["switch"])
    deepest = set()
    began, reports, whole = time.monotonic(), int(os.environ.get("GREEN_REPORTS", "10")), 0
    for _ in range(reports):
        document = t.report(process.pid, codes=(0, 1))
        players, others = 0, []
        for goroutine in document["green_threads"]:
            functions, end = functions_of(document, goroutine)
            own = [name for name in functions if name and name.startswith("main.")]
            if goroutine.get("problem"):  # its OS thread did not stop in time
                players += goroutine["entry"]["function"].startswith("main.switchWithoutEnd.")
                continue
            if "main.player" not in own:
                others.append((goroutine, functions, end))
                continue
            own = own[:own.index("main.player") + 1]  # what is below is the compiler's

            players += 1
            deepest.add(len(own))
            check(own == ["main.descend"] * (len(own) - 1) + ["main.player"] and len(own) < 34, functions)
            check(functions[-1] == "runtime.goexit" and end is None, functions, end)
            whole += 1
        check(players == 400, players, others)
    check(len(deepest) > 20, deepest)
    took = time.monotonic() - began
    process.kill(signal.SIGUSR1)
    check(process.popen.wait(120) == 0)
    turns, uneven, stuck = map(int, process.stdout_text().split()[-3:])
    check(uneven == 0 and stuck == 0, "switches were lost:", process.stdout_text())
    print(f"# {reports} reports, {whole} stacks exact, {turns / took / 1e6:.1f} million switches a second")


@suite.test
def from_a_core_file(t):
    process = start(t)
    document = json.loads(t.gmr("core", t.core_of(process), "--format", "json").stdout)
    own = own_dump(process)
    found = {int(g["id"]): g for g in document["green_threads"] if g["kind"] == "goroutine"}
    check(sorted(found) == sorted(own), sorted(found), "are not", sorted(own))
    for number, (state, frames) in own.items():
        if frames and state not in ("running", "runnable"):
            functions, end = functions_of(document, found[number])
            check([short(x) for x in functions] == [short(frame[0]) for frame in frames] and end is None, functions, "are not", frames, end)


@suite.test
def the_table_of_layouts_is_what_debug_information_says(t):
    result = subprocess.run([t.build("tests/outside/go_layout"), build(t)], capture_output=True, text=True, timeout=60, check=False)
    check(result.returncode == 0, result.stdout, result.stderr)


@suite.test
def memory_that_lies_does_no_harm(t):
    process = start(t)
    for seed in range(1, 31):
        run(t, process.pid, "go", 2 + seed, seed)
    check(process.alive())


suite.main()
