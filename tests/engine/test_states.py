"""Processes in awkward states: what can be had is there, what can't says why, and the process is no worse off."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import NOBODY, TIMEOUT, Skip, check, suite  # pylint: disable=wrong-import-position
from engine import finish, probe, start  # pylint: disable=wrong-import-position


def by_name(result):
    return {thread["name"]: thread for thread in result["threads"]}


@suite.test
def a_vfork_parent_is_named_and_goes_on(t):
    target = start(t, "states", "vfork")
    t.wait(lambda: probe(t, "capture", target.pid, 1, "deadline=1000")["missing"] == 1, "the vfork", alive=target)
    for options in ((), ("all",)):
        result = probe(t, "capture", target.pid, 3, "deadline=1000", *options)
        thread = by_name(result)["vforker"]
        check(thread["bytes"] == 0 and "vfork" in thread["reason"], options, thread)
        check(result["missing"] == 3 and result["whole"] == 3, options, result)
    check("done" in finish(target), "the vfork parent did not go on")


@suite.test
def a_process_without_its_first_thread(t):
    target = start(t, "states", "zombieleader")
    t.wait(lambda: pathlib.Path(f"/proc/{target.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "the zombie")
    t.wait(lambda: "sleeper" in [(task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{target.pid}/task").iterdir()],
           "the other thread's name", alive=target)
    result = probe(t, "capture", target.pid, 2)
    threads = by_name(result)
    check(threads["sleeper"]["bytes"] > 0, threads)
    check("ended" in threads["states"]["reason"], threads)
    report = probe(t, "stacks", target.pid)
    thread = next(thread for thread in report["threads"] if thread["name"] == "sleeper")
    names = [frame.get("function") for frame in report["stacks"][thread["stack"]]["frames"]]
    check("sleeper" in names and names[-1] in ("clone3", "clone", "thread_start"), names)
    check("done" in finish(target), "it did not go on")


@suite.test
def threads_that_come_and_go(t):
    target = start(t, "states", "churn")
    for options in ((), ("all",)) * 5:
        result = probe(t, "capture", target.pid, 3, *options)
        check(len([x for x in result["threads"] if x["bytes"]]) >= 4, options, result)
        for thread in result["threads"]:
            check(thread["bytes"] or thread["reason"], "no stack and no reason", thread)
    check("done" in finish(target), "it did not go on")


@suite.test
def a_program_that_executes_itself_meanwhile(t):
    target = start(t, "states", "exec")
    for _ in range(30):
        result = probe(t, "capture", target.pid, 3)
        check("error" not in result, result)
        check(target.alive(), "it ended")


@suite.test
def workers_of_the_kernel_are_named_and_left_alone(t):
    target = start(t, "states", "uring")

    def workers():
        return [tid for tid in os.listdir(f"/proc/{target.pid}/task")
                if "iou-" in pathlib.Path(f"/proc/{target.pid}/task/{tid}/comm").read_text()]
    try:
        t.wait(workers, "a worker thread", timeout=5)
    except AssertionError:
        raise Skip("no io_uring worker here") from None
    result = probe(t, "capture", target.pid, 3)
    worker = next(thread for thread in result["threads"] if "iou-" in thread["name"])
    check(worker["bytes"] == 0 and "kernel" in worker["reason"], worker)
    check(by_name(result)["states"]["bytes"] > 0, result)


@suite.test
def a_process_under_a_debugger_says_whose(t):
    target = start(t, "crowd", "3", "3")
    tracer = start(t, "states", "tracer", str(target.pid))
    result = probe(t, "capture", target.pid, 1)
    check(f"traced by pid {tracer.pid} (states)" in result["problem"], result)
    check(len(result["threads"]) == 4 and result["whole"] == 0, result)
    tracer.stop()
    t.wait(lambda: probe(t, "capture", target.pid, 1)["whole"] == 4, "the tracer to let go")


@suite.test
def a_process_of_somebody_else_says_so(t):
    if os.geteuid() != 0:
        raise Skip("needs root")
    target = start(t, "crowd", "3", "3")
    result = subprocess.run([t.build("tests/engine/probe"), "capture", str(target.pid), "1"], stdout=subprocess.PIPE,
                            encoding="utf-8", timeout=TIMEOUT, user=NOBODY, group=NOBODY, extra_groups=[], check=False)
    check("process of user root" in result.stdout and "run gmr as that user or as root" in result.stdout, result.stdout)


@suite.test
def a_kernel_thread_and_no_process(t):
    result = probe(t, "capture", 2, 1)
    if result.get("threads") and result["threads"][0]["name"] == "kthreadd":
        check("kernel thread" in result["problem"], result)
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    check(probe(t, "capture", ended.pid, 1) == {"error": -3}, "a pid that is no more")


suite.main()
