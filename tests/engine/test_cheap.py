"""The capture costs the target nothing it could notice: no call fails, no signal is lost, nothing stays stopped.

SOAK=1 in the environment makes it take 1,000 captures instead of a few.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import TIMEOUT, check, suite  # pylint: disable=wrong-import-position
from engine import finish, probe, start  # pylint: disable=wrong-import-position

CAPTURES = 1000 if os.environ.get("SOAK") else 200


class Capturing:
    """Captures a process over and over in the background."""

    def __init__(self, t, pid, *options):
        self.t, self.pid, self.options, self.count = t, pid, options, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def _loop(self):
        while not self._end.is_set():
            result = probe(self.t, "capture", self.pid, 20, *self.options)
            if "error" in result:
                return
            self.count += 20

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(TIMEOUT)


def sleeping(pid, but=()):
    states = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        text = pathlib.Path(f"/proc/{pid}/task/{tid}/stat").read_text()
        states[int(tid)] = text.rpartition(")")[2].split()[0]
    return all(state in "SD" for tid, state in states.items() if tid not in but)


def hold_calls(t, *options):
    holds = start(t, "holds")
    t.wait(lambda: sleeping(holds.pid), "every thread to wait in its call", alive=holds)
    result = probe(t, "capture", holds.pid, CAPTURES, *options)
    check(result["missing"] == 0, "stacks are missing:", [x for x in result["threads"] if not x["bytes"]])
    check(all(thread["syscall"] >= 0 for thread in result["threads"]), "not every call is known", result["threads"])
    calls = json.loads(finish(holds))
    check(len(calls) == len(result["threads"]) - 1, "threads:", len(result["threads"]), "calls:", len(calls))
    ended = {name: counts for name, counts in calls.items() if counts[0] or counts[1]}
    check(not ended, f"calls that came back in {CAPTURES} captures, [EINTR, ended, errno]:", ended)


@suite.test
def no_system_call_of_the_target_fails(t):
    hold_calls(t)


@suite.test
def no_system_call_fails_when_all_threads_stop_at_once(t):
    hold_calls(t, "all")


@suite.test
def threads_that_wait_for_a_processor_are_waited_for(t):
    """Let go before they stood, their calls would return EINTR."""
    processor = str(min(os.sched_getaffinity(0)))
    t.spawn(["taskset", "-c", processor, "/usr/bin/python3", "-c", "while True: pass"])
    holds = t.spawn(["taskset", "-c", processor, "nice", "-n", "10", t.build("tests/engine/holds")], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE)
    check(holds.popen.stdout.readline().startswith(b"ready"), "holds did not start")
    t.wait(lambda: sleeping(holds.pid), "every thread to wait in its call", alive=holds)
    result = probe(t, "capture", holds.pid, 40, "deadline=1")
    check(result["missing"] == 0, "stacks are missing:", result["missing"], "of", result["missing"] + result["whole"])
    calls = json.loads(finish(holds))
    ended = {name: counts for name, counts in calls.items() if counts[0] or counts[1]}
    check(not ended, "calls that came back, [EINTR, ended, errno]:", ended)


@suite.test
def queued_signals_all_arrive_with_their_payloads(t):
    target = start(t, "signals", "queued", "10000")
    with Capturing(t, target.pid) as capturing:
        t.wait(lambda: capturing.count, "captures")
        target.popen.stdin.write(b"go\n")
        target.popen.stdin.flush()
        line = target.popen.stdout.readline().split()
    check(line == [b"done", b"10000", b"10000"], "received, in order:", line)


@suite.test
def a_real_signal_still_interrupts(t):
    target = start(t, "signals", "interrupts", "500")
    with Capturing(t, target.pid) as capturing:
        t.wait(lambda: capturing.count, "captures")
        target.popen.stdin.write(b"go\n")
        target.popen.stdin.flush()
        line = target.popen.stdout.readline().split()
    check(line == [b"done", b"500"], "epoll_wait calls that a signal ended, of 500:", line)


def state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@suite.test
def a_stopped_process_is_read_and_stays_stopped(t):
    holds = start(t, "holds")
    t.wait(lambda: sleeping(holds.pid), "every thread to wait in its call", alive=holds)
    t.freeze(holds.pid)
    result = probe(t, "capture", holds.pid, 5)
    check(result["missing"] == 0, "stacks are missing", result)
    check({thread["state"] for thread in result["threads"]} == {"T"}, "states", result["threads"])
    t.wait(lambda: state(holds.pid) == "T", "it to be back in its stop")
    os.kill(holds.pid, signal.SIGCONT)
    t.wait(lambda: state(holds.pid) == "S", "it to go on")
    json.loads(finish(holds))


@suite.test
def nothing_stays_stopped_or_traced_when_the_inspector_is_killed(t):
    holds = start(t, "holds")
    t.wait(lambda: sleeping(holds.pid), "every thread to wait in its call", alive=holds)
    for delay in range(20):
        inspector = subprocess.Popen([t.build("tests/engine/probe"), "capture", str(holds.pid), "10000"],
                                     stdout=subprocess.DEVNULL)
        time.sleep(0.002 * delay)
        inspector.kill()
        inspector.wait()

    def free():
        for tid in os.listdir(f"/proc/{holds.pid}/task"):
            status = pathlib.Path(f"/proc/{holds.pid}/task/{tid}/status").read_text()
            if "TracerPid:\t0\n" not in status or "\nState:\tt" in status:
                return False
        return True
    t.wait(free, "every thread to be let go")
    calls = json.loads(finish(holds))
    check(len(calls) > 40, calls)


suite.main()
