#!/usr/bin/python3
"""Who waits for whom: mutexes and their holders, threads that wait for another's end, deadlocks. And nothing where that can't be known."""
import re

from common import check, suite


def start(t, *arguments):
    process = t.spawn([t.build("tests/targets/locks"), *arguments])
    t.wait(lambda: "ready" in process.stdout_text(), "the threads to be started", alive=process)
    return process


def waits(t, process, expected):
    """{name: waits_for}, once as many threads as expected wait for another."""
    def found():
        document = t.report(process.pid, "--sections", "threads", codes=(0, 1))
        names = {thread["id"]: thread["name"] for thread in document["threads"]}
        waiting = {thread["name"]: dict(thread["waits_for"], thread=names[thread["waits_for"]["thread"]])
                   for thread in document["threads"] if "waits_for" in thread}
        return waiting if len(waiting) == expected else None
    return t.wait(found, f"{expected} threads that wait for another")


def text(t, process):
    result = t.gmr("report", process.pid, "--sections", "threads")
    return re.sub(r"#\d+", "#N", re.sub(r"0x[0-9a-f]+", "0xA", result.stdout))


@suite.test
def a_deadlock_is_told_first(t):
    process = start(t, "deadlock")
    waiting = waits(t, process, 2)
    check({name: wait["thread"] for name, wait in waiting.items()} == {"ada": "grace", "grace": "ada"}, waiting)
    check(all(wait["kind"] == "mutex" and wait["deadlock"] and "timed" not in wait for wait in waiting.values()), waiting)
    check(waiting["ada"]["address"] != waiting["grace"]["address"], waiting)
    shown = text(t, process)
    line = ("DEADLOCK: thread #N (ada) waits for the mutex at 0xA, held by #N (grace),\n"
            "    which waits for the mutex at 0xA, held by #N (ada)\n")
    check(line in shown and shown.index(line) < shown.index("Thread #N"), shown)
    check("waits for the mutex at 0xA, held by #N: a deadlock\n" in shown, shown)


@suite.test
def a_thread_that_locks_twice_waits_for_itself(t):
    process = start(t, "self")
    wait, = waits(t, process, 1).values()
    check(wait["deadlock"] and wait["thread"] == "locks", wait)
    check("DEADLOCK: thread #N (locks) waits for the mutex at 0xA, held by itself\n" in text(t, process), text(t, process))


@suite.test
def joining_who_waits_for_ones_own_mutex(t):
    waiting = waits(t, start(t, "join"), 2)
    check(waiting["locks"]["kind"] == "thread" and waiting["locks"]["thread"] == "ada", waiting)
    check(waiting["ada"]["kind"] == "mutex" and waiting["ada"]["thread"] == "locks", waiting)
    check(all(wait["deadlock"] for wait in waiting.values()), waiting)


@suite.test
def every_kind_of_mutex_names_its_holder(t):
    for kind in ("normal", "recursive", "errorcheck", "pi", "robust"):
        process = start(t, "held", kind)
        # "patient" as well, where the wait is the same call after it was interrupted by the report: it has a timeout.
        waiting = t.wait(lambda p=process: (lambda w: w if {"one", "two", "joiner"} <= set(w) else None)(seen(t, p)), "the waiting threads")
        check(set(waiting) <= {"one", "two", "joiner", "patient"}, kind, waiting)
        for name in ("one", "two"):
            check(waiting[name]["kind"] == "mutex" and waiting[name]["thread"] == "holder" and "deadlock" not in waiting[name], kind, waiting)
        check(waiting["joiner"]["kind"] == "thread" and waiting["joiner"]["thread"] == "locks", waiting)
        check("patient" not in waiting or waiting["patient"]["timed"], waiting)
        check(re.search(r"\d threads wait for the mutex at 0xA, held by #N \(holder\): #N, #N", text(t, process)), text(t, process))
        process.stop()


def seen(t, process):
    document = t.report(process.pid, "--sections", "threads", codes=(0, 1))
    names = {thread["id"]: thread["name"] for thread in document["threads"]}
    return {thread["name"]: dict(thread["waits_for"], thread=names[thread["waits_for"]["thread"]])
            for thread in document["threads"] if "waits_for" in thread}


@suite.test
def a_busy_mutex_makes_no_deadlock(t):
    process = start(t, "busy")
    for _ in range(30):
        waiting = seen(t, process)
        check(not any(wait.get("deadlock") for wait in waiting.values()), waiting)
        check(all(wait["thread"] == "busy" for wait in waiting.values()), waiting)


@suite.test
def a_stored_report_shows_the_same(t):
    process = start(t, "deadlock")
    waits(t, process, 2)
    path = t.tmp / "report.json"
    t.gmr("report", process.pid, "--format", "json", "-o", path, "--sections", "threads,stacks")
    shown = t.gmr("show", path).stdout
    check("DEADLOCK: thread #" in shown and ": a deadlock\n" in shown, shown)


if __name__ == "__main__":
    suite.main()
