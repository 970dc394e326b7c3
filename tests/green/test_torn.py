#!/usr/bin/python3
"""Green threads that switch tens of millions of times a second while reports are taken: no stack is torn, no switch is lost.

Every list of frames is one that the program can have: for each green thread that is not marked approximate, in each report. The programs
count their switches on both sides (one there and one back is a turn) and check their own stacks. GREEN_REPORTS: how many reports of each
program (25; `make soak`: 1,000). Their rate is told by the clock and by the processor time that they got: a loaded machine gives them less.
"""
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import BUILD, Skip, check, functions, suite  # noqa: E402

REPORTS = int(os.environ.get("GREEN_REPORTS", "25"))
TARGETS = pathlib.Path(os.environ.get("GREEN_TARGETS", BUILD / "tests" / "green"))
COUNT = 60
FIBER = r"((boost|std)::\S+ )"
OWN = {False: r"(test_switch )?(step )(down ){1,13}body", True: r"(test_switch )?(step )?(down ){0,13}body"}
BOOST = {False: rf"(jump_fcontext(@plt)? )?{FIBER}*boost_step (boost_down ){{1,13}}boost_body( .*)?",
         True: rf"(jump_fcontext(@plt)? )?{FIBER}*(boost_step )?{FIBER}*(boost_down ){{0,13}}boost_body( .*)?"}


def processor_time(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def torn(t, argv, patterns, carriers=1):
    """REPORTS reports; how many lists of frames were exact."""
    path = TARGETS / argv[0]
    if not path.exists():
        raise Skip(f"{argv[0]} was not built: its library is not installed")
    count = t.tmp / "count"
    process = t.spawn([path, *map(str, argv[1:])], env=t.environment(GREEN_COUNT=str(count)))
    t.wait(lambda: "ready" in process.stdout_text(), "the target to be ready", alive=process)
    exact = running = left_out = 0
    began = time.monotonic()
    for _ in range(REPORTS):
        # An overloaded machine may not stop a thread in time, or use the stop's budget up: the report says so, and of which.
        document = t.report(process.pid, "--sections", "green_threads,threads", codes=(0, 1))
        threads = [thread for thread in document["green_threads"] if not thread.get("discovered")]
        check(len(threads) == COUNT, len(threads))
        if document["report"]["status"] != "complete" and not all("stack" in thread for thread in document["threads"]):
            left_out += 1
            continue
        check(sum(thread["state"] == "running" for thread in threads) <= carriers, threads)
        check(carriers == 1 or len({thread["thread"] for thread in threads}) == carriers, threads)
        for thread in threads:
            if "approximate" in thread:
                continue
            check("problem" not in thread, thread)
            names = " ".join(functions(document, thread))
            runs = thread["state"] == "running"
            check(re.fullmatch(patterns[runs], names), thread, names)
            exact += 1
            running += runs
    check(exact >= COUNT, "hardly a stack was copied at a stop:", exact)
    took, processor = time.monotonic() - began, processor_time(process.pid)
    check(process.stop() == 0, "the target ended with", process.popen.returncode)
    rate = int(count.read_text()) / took
    print(f"# {argv[0]}: {REPORTS} reports, {exact} stacks exact, {running} of them running, {left_out} reports without a stop, "
          f"{2 * rate / 1e6:.1f} million switches a second, {2 * rate * took / processor / 1e6:.1f} a second of its processor time")


@suite.test
def a_switch_of_the_programs_own(t):
    torn(t, ["target_many", COUNT, 5, 1000, "spin"], OWN)


@suite.test
def with_the_switch_counter(t):
    torn(t, ["target_many", COUNT, 5, 1000, "spin", "counted"], OWN)


@suite.test
def two_schedulers_each_bound_to_its_thread(t):
    """Their OS threads are stopped one after the other, each for its own green threads."""
    torn(t, ["target_many", COUNT, 5, 1000, "spin", "bound", "two"], OWN, carriers=2)


@suite.test
def with_the_counter_too(t):
    torn(t, ["target_many", COUNT, 5, 1000, "spin", "bound", "two", "counted"], OWN, carriers=2)


@suite.test
def boosts_jump_fcontext(t):
    if os.uname().machine != "x86_64":
        raise Skip("the saved stack pointer in flight is looked for on x86-64")
    torn(t, ["target_boost_spin", COUNT], BOOST)


@suite.test
def a_stack_among_thousands_is_copied_to_its_own_end(t):
    """Not to the end of the mapping that they share: that took longer than all else together."""
    process = t.spawn([TARGETS / "target_many", 2000, 5, 1000, "spin", "counted"])
    t.wait(lambda: "ready" in process.stdout_text(), "the target to be ready", alive=process)
    runs = 0
    for _ in range(10):
        document = t.report(process.pid, "--sections", "green_threads,threads", codes=(0, 1))
        runs += any(thread["state"] == "running" for thread in document["green_threads"])
        check(document["report"]["cost"]["copied_bytes"] < 4 << 20, document["report"]["cost"])
    check(runs > 0, "none was ever seen to run")


suite.main()
