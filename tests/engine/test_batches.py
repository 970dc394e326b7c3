"""Stacks that are unwound in batches while others are being copied: each is whole and of the right thread, and memory is bounded."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import check, suite  # pylint: disable=wrong-import-position
from engine import finish, look, probe, report, start  # pylint: disable=wrong-import-position

THREADS, DEPTH, VARIETY = 3000, 200, 17
BATCH = 64 << 10


def stacks(t, pid, *options):
    """The document, and the most memory that one process had for it, in bytes."""
    child = subprocess.Popen([t.build("tests/engine/probe"), "stacks", str(pid), *options], stdout=subprocess.PIPE)
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    check(child.returncode == 0, "probe ended with", child.returncode)
    return json.loads(text), usage.ru_maxrss << 10


def check_crowd(document):
    seen = 0
    for thread in document["threads"]:
        if not thread["name"].startswith("t"):
            continue
        names = [frame.get("function") for frame in document["stacks"][thread["stack"]]["frames"]]
        calls = DEPTH + int(thread["name"][1:]) % VARIETY + 1
        check(names.count("descend") == calls, thread, "has", names.count("descend"), "calls, not", calls)
        check(names[-1] in ("clone3", "clone"), thread, names[-3:])
        seen += 1
    check(seen == THREADS, "threads with a stack:", seen)


@suite.test
def every_stack_of_a_crowd_is_whole_and_memory_is_bounded(t):
    crowd = start(t, "crowd", THREADS, DEPTH, VARIETY)
    copied = sum(thread["bytes"] for thread in probe(t, "capture", crowd.pid, 1)["threads"])
    whole, most = stacks(t, crowd.pid)
    check_crowd(whole)
    drained, least = stacks(t, crowd.pid, f"batch={BATCH}")
    check_crowd(drained)
    check(most - least > copied * 3 // 4, f"{copied} bytes of stacks took {most} at once and {least} in batches")
    finish(crowd)


@suite.test
def a_crowd_whose_threads_stand_together_is_kept(t):
    crowd = start(t, "crowd", THREADS // 10, DEPTH, VARIETY)
    document, _ = stacks(t, crowd.pid, f"batch={BATCH}", "all")
    check(len(document["threads"]) == THREADS // 10 + 1, "threads:", len(document["threads"]))
    check(all("stack" in thread for thread in document["threads"]), "threads without a stack")
    finish(crowd)


def frames(document):
    """By thread: its frames, less what moves from one look to the next."""
    return {thread["name"]: [(frame.get("function"), frame.get("line"), frame.get("guessed")) for frame in
                             document["stacks"][thread["stack"]]["frames"]] for thread in document["threads"] if "stack" in thread}


@suite.test
def stacks_that_need_more_than_their_own_bytes_are_the_same_in_batches(t):
    document, process = look(t, "shapes-O2")
    t.freeze(process.pid)
    plain = report(t, process, "frames=200000", "stack=40000000")
    for batch in (8 << 10, 16 << 10, 32 << 10, 128 << 10):
        batched = report(t, process, "frames=200000", "stack=40000000", f"batch={batch}")
        check(frames(plain) == frames(batched), batch, "differences:",
              [name for name in frames(plain) if frames(plain)[name] != frames(batched).get(name)])
        check(len(document["threads"]) == len(batched["threads"]), "threads:", len(batched["threads"]))


suite.main()
