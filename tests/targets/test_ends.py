"""Stacks that end early say why, in the process and in its core: each reason on a thread that truly gives it (src/ends.S)."""
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import collection  # noqa: E402
from common import Skip, check, suite  # noqa: E402

# thread: its frames from wait_here on, and why there are no more
ENDS = {
    "itself": (["wait_here", "called_by_itself", "called_by_itself"], "same frame twice"),
    "nowhere": (["wait_here", "frame_nowhere"], "memory at 0x12340 can't be read"),
    "nothing": (["wait_here", "tells_nothing"], "no unwind information in .*/target"),
    "deep": (["wait_here"] + ["deep"] * 90, "limit of 100 frames"),
}


def start(t):
    program = t.directory("built") / "target"
    sources = [collection.SOURCES / name for name in ("ends.c", "ends.S")]
    collection.run("gcc", "-g", "-O1", "-fno-optimize-sibling-calls", "-Wno-infinite-recursion", "-o", program, *sources, "-pthread")
    process = t.spawn([program])
    t.wait(lambda: "ready" in process.stdout_text(), "the target", alive=process)
    return process, program


def check_ends(document, names):
    for thread, name in names(document):
        stack = document["stacks"][thread["stack"]]
        functions = [frame.get("function", frame["pc"]) for frame in stack["frames"]]
        frames, reason = ENDS[name]
        at = functions.index("wait_here")
        found = functions[at:at + len(frames)]
        check(found == frames and (name == "deep" or len(functions) == at + len(frames)), name, functions, stack.get("end"))
        check(re.fullmatch(reason, stack.get("end", "")), name, "ends because:", stack.get("end"))
        check(not any(frame.get("guessed") for frame in stack["frames"]), name, "has a guess", stack["frames"])
    check("end" not in document["stacks"][document["threads"][0]["stack"]], "main's stack is whole")


@suite.test
def in_the_process(t):
    process, _ = start(t)
    document = t.report(process.pid, "--no-cache", "--max-frames", "100", "--sections", "threads,stacks")

    def by_name(document):
        named = [(thread, thread["name"]) for thread in document["threads"] if thread["name"] in ENDS]
        check(len(named) == len(ENDS), document["threads"])
        return named
    check_ends(document, by_name)
    text = t.gmr("report", process.pid, "--no-cache", "--max-frames", "100", "--sections", "threads").stdout
    for _, reason in ENDS.values():
        check(re.search(f"the stack ends here: {reason}", text), "text does not say", reason, text)


@suite.test
def in_its_core(t):
    process, program = start(t)
    tids = {int(task): pathlib.Path(f"/proc/{process.pid}/task/{task}/comm").read_text().strip()
            for task in os.listdir(f"/proc/{process.pid}/task")}
    core = t.core_of(process)
    if not core:
        raise Skip("cores go elsewhere here")
    result = t.gmr("core", "--format", "json", "--no-cache", "--max-frames", "100", core, program)
    check(result.returncode == 0, result.stderr)
    check_ends(t.valid_json(result.stdout), lambda document: [(thread, tids[thread["id"]]) for thread in document["threads"]
                                                              if tids[thread["id"]] in ENDS])


suite.main()
