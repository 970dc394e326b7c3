#!/usr/bin/python3
"""Registries that lie: a report comes, says what it could not believe, and the program goes on."""
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import BUILD, Skip, check, functions, suite  # noqa: E402


def tell(t, lie, said, honest=True, codes=(0, 3)):
    """said: what the section's reason must mention; None: nothing is wrong."""
    process = t.spawn([BUILD / "tests" / "green" / "target_hostile", lie])
    t.wait(lambda: "ready" in process.stdout_text(), "the target to be ready", alive=process)
    result = t.gmr("report", process.pid, "--format", "json", "--sections", "green_threads,threads")
    check(result.stdout, lie, result.returncode, result.stderr)
    document = t.valid_json(result.stdout)
    outcome = next(s for s in document["report"]["sections"] if s["name"] == "green_threads")
    if said is None:
        check(outcome["status"] == "ok", outcome)
    else:
        check(said in outcome.get("reason", ""), outcome)
    named = [thread for thread in document["green_threads"] if thread.get("name") == "honest"]
    if honest:
        check(len(named) == 1 and functions(document, named[0])[:1] in (["body"], ["test_switch"]), lie, named,
              named and functions(document, named[0]))
    # It goes on: it still counts.
    before = len(process.stderr_text())
    t.wait(lambda: len(process.stderr_text()) > before + 3, "the target to go on", alive=process)
    text = t.gmr("report", process.pid, "--sections", "green_threads")
    check("Green Threads" in text.stdout and "End of Guru Meditation" in text.stdout, text.stdout[-2000:], text.stderr)
    return document


@suite.test
def an_honest_registry(t):
    tell(t, "", None)


@suite.test
def contexts_stacks_and_names_anywhere(t):
    document = tell(t, "anywhere", "")
    broken = [thread for thread in document["green_threads"] if "problem" in thread]
    check(len(broken) > 1000, len(broken))


@suite.test
def layouts_that_are_none(t):
    tell(t, "layouts", "corrupt")


@suite.test
def stacks_that_are_unmapped(t):
    document = tell(t, "unmapped", "")
    check(sum("problem" in thread for thread in document["green_threads"]) == 2000, len(document["green_threads"]))


@suite.test
def a_list_that_runs_in_a_circle(t):
    document = tell(t, "cycle", "circle")
    check(sum(thread["kind"] == "nodes" for thread in document["green_threads"]) == 5, document["green_threads"])


@suite.test
def an_array_without_end(t):
    tell(t, "array", "corrupt")


@suite.test
def frames_in_a_circle(t):
    document = tell(t, "frames", None)
    chain = next(thread for thread in document["green_threads"] if thread["kind"] == "coroutine")
    check("circle" in document["stacks"][chain["stack"]]["end"], document["stacks"][chain["stack"]]["end"])


@suite.test
def a_registry_without_its_magic(t):
    tell(t, "magic", "corrupt", honest=False)


@suite.test
def more_records_than_there_are(t):
    tell(t, "fresh", "were not read")


@suite.test
def slabs_that_are_not_there(t):
    tell(t, "slabs", "", honest=False)
    tell(t, "slab", "can't be read", honest=False)


@suite.test
def records_full_of_noise(t):
    tell(t, "records", "corrupt", honest=True)


@suite.test
def lists_that_are_not_there(t):
    tell(t, "lists", None)


def with_budget(t, nanoseconds, *argv):
    """What a stop of that length makes of a program's green threads: how many there are, how many are marked, what is said."""
    process = t.spawn([BUILD / "tests" / "green" / argv[0], *map(str, argv[1:])])
    t.wait(lambda: "ready" in process.stdout_text(), "the target to be ready", alive=process)
    result = subprocess.run([t.build("tests/green/green_dump"), str(process.pid), "1", f"budget={nanoseconds}"], capture_output=True, text=True,
                            timeout=120, check=False)
    check(result.returncode == 0, result.stderr)
    *lines, last = result.stdout.splitlines()
    return lines, [line for line in lines if " ~" in line], last


@suite.test
def what_did_not_fit_into_the_stop_is_marked(t):
    """Nearly no time: all is there, as it was copied ahead, and each that could have changed since says so; the notes count them."""
    lines, marked, last = with_budget(t, 1, "target_many", 5000, 5, 10, "spin")
    said = re.search(r"(\d+) green threads were copied while they could run", last)
    check(len(lines) == 5000 and said and len(marked) == int(said[1]), len(lines), len(marked), last)
    check(4000 < len(marked) and "used up" in last, len(marked), last)

    def all_in_time():
        # Not each time: on a busy machine the thread that switches may get no processor to stop on, which has a limit of its own.
        lines, marked, last = with_budget(t, 60 * 10**9, "target_many", 5000, 5, 10, "spin")
        check(len(lines) == 5000 and "used up" not in last, len(lines), last)
        return not marked
    t.wait(all_in_time, "a stop in which all was copied")


@suite.test
def what_was_discovered_and_not_checked_is_said(t):
    _, _, last = with_budget(t, 1, "target_context")
    check("the time for the stop was used up before all that was discovered was checked" in last, last)


@suite.test
def ten_million_records(t):
    """For `make soak`: bounded memory and time, and what was left out is said."""
    if "GREEN_REPORTS" not in os.environ:
        raise Skip("takes a GiB and a minute: make soak has it")
    process = t.spawn([BUILD / "tests" / "green" / "target_hostile", "million"])
    t.wait(lambda: "ready" in process.stdout_text(), "the target to be ready", alive=process)
    child = subprocess.Popen([BUILD / "gmr", "report", str(process.pid), "--sections", "green_threads"], stdout=subprocess.PIPE, text=True)
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    check("2000000 green threads" in text and "End of Guru Meditation" in text, text[:2000])
    check("past the 2000000 that a report takes, were not read" in text, text[-3000:])
    check(usage.ru_maxrss < 2 << 20, "KiB of memory:", usage.ru_maxrss)
    print(f"# {usage.ru_maxrss >> 10} MiB, {usage.ru_utime + usage.ru_stime:.1f} s of processor time")
    before = len(process.stderr_text())
    t.wait(lambda: len(process.stderr_text()) > before + 3, "the target to go on", alive=process)


suite.main()
