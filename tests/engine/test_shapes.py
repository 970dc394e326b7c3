"""Stacks of threads that stand where unwinding is hard, in programs built in different ways; see shapes.c."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import TIMEOUT, check, suite  # pylint: disable=wrong-import-position
from engine import OWN, look, report  # pylint: disable=wrong-import-position

SIGNALS = {"altstack": 1, "inside": 1, "nested": 2, "null": 1}
GUESSED = {"null": {"null_outer"}, "framedasm": {"framedasm_outer"}, "leafasm": {"leafasm_outer"}, "jit": {"jit_outer"}}


def own_names(names):
    """The functions of shapes.c: their names have an underscore and the shape in front."""
    return [name for name in names if name.partition("_")[0] in {*OWN, "framed", "spinning"} and "_" in name]


def check_shapes(t, variant, libc_has_cfi=True):
    document, _ = look(t, variant)
    for thread in document["threads"]:
        shape = thread["name"]
        if shape not in OWN:
            continue
        stack = document["stacks"][thread["stack"]]
        names = [frame.get("function", frame["pc"]) for frame in stack["frames"]]
        shown = (shape, names if len(names) < 30 else (names[:5], len(names), names[-5:]), stack.get("end"))
        check(own_names(names) == OWN[shape], "wrong functions:", *shown)
        check("run" in names, "does not reach the thread's start:", *shown)
        signals = sum(1 for frame in stack["frames"] if frame.get("signal_frame"))
        check(signals == SIGNALS.get(shape, 0), "signal frames:", signals, *shown)
        guessed = {frame.get("function") for frame in stack["frames"] if frame.get("guessed")}
        if libc_has_cfi:
            check(names[-1] in ("clone3", "clone", "__clone3", "__clone", "thread_start"), "does not reach the very end:", *shown)
            check("end" not in stack, "ends early:", *shown)
            check(guessed == GUESSED.get(shape, set()), "marked as guessed:", guessed, *shown)
        else:
            check(GUESSED.get(shape, set()) <= guessed, "marked as guessed:", guessed, *shown)


@suite.test
def unoptimised(t):
    check_shapes(t, "shapes-O0")


@suite.test
def optimised(t):
    check_shapes(t, "shapes-O2")


@suite.test
def optimised_hard(t):
    check_shapes(t, "shapes-O3")


@suite.test
def static(t):
    check_shapes(t, "shapes-static")


@suite.test
def static_pie(t):
    check_shapes(t, "shapes-static-pie")


@suite.test
def musl(t):
    check_shapes(t, "shapes-musl", libc_has_cfi=False)


@suite.test
def musl_static(t):
    check_shapes(t, "shapes-musl-static", libc_has_cfi=False)


@suite.test
def limits_are_said(t):
    document, process = look(t, "shapes-O2")

    def deep(*options):
        document = report(t, process, *options)
        thread = next(thread for thread in document["threads"] if thread["name"] == "deep")
        return document["stacks"][thread["stack"]]
    stack = deep("frames=10", "stack=40000000")
    check(len(stack["frames"]) == 10 and stack["end"] == "limit of 10 frames", stack)
    stack = deep("frames=1000000", "stack=65536")
    check("limit is 65536 bytes" in stack["end"], len(stack["frames"]), stack["end"])
    check(document["threads"], "threads")


@suite.test
def identical_stacks_are_shown_once_in_text(t):
    process = t.spawn([t.build("tests/engine/crowd"), "40", "5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    check(process.popen.stdout.readline() == b"ready\n", "no start")

    def text(*options):
        return subprocess.run([t.build("tests/engine/probe"), "text", str(process.pid), *options], stdout=subprocess.PIPE,
                              timeout=TIMEOUT, check=True).stdout.decode()
    t.wait(lambda: text().count(" Thread #") == 2, "all threads to stand in the same place")
    once, each = text(), text("each")
    check("and 39 more with the same stack:" in once, once)
    check(each.count(" Thread #") == 41, each)
    document = report(t, process)
    check(len(document["threads"]) == 41 and len(document["stacks"]) == 2, document)
    for thread in document["threads"]:
        check(f"#{thread['id']}" in once, thread["id"], "is not in the text")


suite.main()
