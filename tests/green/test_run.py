#!/usr/bin/python3
"""Green threads of programs that know nothing of gmr, under `gmr run`: what makecontext made is there, what is gone is not."""
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import BUILD, Skip, check, functions, suite  # noqa: E402

PPOLL = "271"


def run(t, *arguments):
    process = t.spawn([BUILD / "gmr", "run", "--", *arguments], env=t.environment(GMR_FOLLOW="0"))
    t.wait(lambda: "ready" in process.stdout_text(), "the program to be ready", alive=process)
    return process


def contexts(t, pid):
    """Of the kind ucontext, by their argument; and the section's outcome."""
    document = t.valid_json(t.gmr("report", pid, "--format", "json", "--sections", "green_threads,threads").stdout)
    outcome = next(s for s in document["report"]["sections"] if s["name"] == "green_threads")
    threads = [thread for thread in document["green_threads"] if thread["kind"] == "ucontext"]
    return document, {int(thread["entry"]["argument"], 16): thread for thread in threads}, threads, outcome


def frames(document, thread, stop):
    names = functions(document, thread)
    check(stop in names, names)
    return names[:names.index(stop) + 1]


def expected(t, pid):
    document, named, threads, outcome = contexts(t, pid)
    check(sorted(named) == [0, 1, 2, 5, 8, 9] and len(threads) == 6, sorted(named), threads)
    for number, levels in ((0, 5), (1, 1), (5, 3)):
        check(frames(document, named[number], "waits") == ["descend"] * (levels + 1) + ["waits"], functions(document, named[number]))
        check(named[number]["state"] == "suspended" and "thread" not in named[number], named[number])
    check(frames(document, named[8], "nine") == ["descend", "descend", "nine"], functions(document, named[8]))
    check(named[2]["state"] == "new" and functions(document, named[2])[0] == "fresh", named[2])
    check(named[9]["state"] == "running" and named[9]["thread"] == pid and functions(document, named[9])[0] == "spins", named[9])
    for thread in threads:
        check(thread["stack_bytes"] == 65536 and "problem" not in thread and "discovered" not in thread, thread)
    check(named[0]["entry"]["function"] == "waits", named[0])
    return outcome


@suite.test
def contexts_of_an_unmodified_program(t):
    process = run(t, BUILD / "tests/green/target_context")
    outcome = expected(t, process.pid)
    check("1 contexts were made by makecontext and then switched by other means" in outcome.get("reason", ""), outcome)


@suite.test
def a_forked_child_has_them_and_its_own(t):
    process = run(t, BUILD / "tests/green/target_context")
    child = int(pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    t.wait(lambda: pathlib.Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S", "the child to wait")
    document, named, _, _ = contexts(t, child)
    check(sorted(named) == [0, 1, 2, 5, 8, 10], sorted(named))
    check(frames(document, named[10], "waits") == ["descend"] * 3 + ["waits"], functions(document, named[10]))


@suite.test
def contexts_that_come_and_go_leave_no_ghosts(t):
    """Freed without a word, each in memory that the next takes in part: only the last of them may still look alive."""
    process = run(t, BUILD / "tests/green/target_context", "100000")
    document, named, threads, _ = contexts(t, process.pid)
    ghosts = [thread for thread in threads if int(thread["entry"]["argument"], 16) == 15]
    check(set(named) - {15} == {0, 1, 2, 5, 8, 9}, sorted(named))
    ranges = sorted((int(thread["address"], 16), thread["stack_bytes"]) for thread in ghosts)
    check(len(ghosts) < 400, len(ghosts), ranges[:10])
    for thread in ghosts:
        check(frames(document, thread, "waits")[0] == "descend", functions(document, thread))


@suite.test
def a_program_that_tells_itself_is_shown_once(t):
    process = run(t, BUILD / "tests/green/green-ucontext", "--wait")
    document = t.report(process.pid, "--sections", "green_threads,threads")
    threads = document["green_threads"]
    check(sorted(thread.get("name", "") for thread in threads) == ["parser", "reader", "writer"], threads)


@suite.test
def pth_is_told_by_its_own_lists(t):
    path = BUILD / "tests/green/target_pth"
    if not path.exists():
        raise Skip("libpth-dev is not installed")
    process = run(t, path)
    threads = t.report(process.pid, "--sections", "green_threads,threads")["green_threads"]
    check(threads and not [thread for thread in threads if thread["kind"] == "ucontext"], threads)
    names = [thread["name"] for thread in threads if "name" in thread]
    check(len(names) == len(set(names)), "each once", names)


@suite.test
def qemus_coroutines_are_qemus(t):
    """makecontext only starts them; what tells of them is QEMU's own source."""
    if not shutil.which("qemu-io") or os.uname().machine != "x86_64":
        raise Skip("there is no qemu-io (qemu-utils)")
    commands = [f"aio_read {i * 4}k 4k" for i in range(20)] + ["sleep 3000000"]
    process = t.spawn([BUILD / "gmr", "run", "--", "qemu-io", *(x for command in commands for x in ("-c", command)), "--image-opts",
                       "driver=null-co,size=1G,read-zeroes=on,latency-ns=3000000000000"])
    syscall = pathlib.Path(f"/proc/{process.pid}/syscall")
    t.wait(lambda: syscall.read_text("ascii").split()[0] == PPOLL, "qemu-io to wait", alive=process)
    document = t.report(process.pid, "--sections", "green_threads,threads")
    check({thread["kind"] for thread in document["green_threads"]} == {"QEMU coroutine"}, document["green_threads"])
    check(len(document["green_threads"]) == 20, document["green_threads"])


suite.main()
