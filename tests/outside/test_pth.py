"""GNU Pth's threads in a program that knows nothing of gmr: names, states, what they wait for, stacks."""
import shutil
import subprocess

from common import Skip, check, suite
from source import HERE, run


def start(t):
    program = t.tmp / "pth_threads"
    result = subprocess.run([shutil.which("gcc") or "cc", "-O1", "-g", HERE / "pth_threads.c", "-o", program, "-lpth"],
                            capture_output=True, text=True, timeout=120, check=False)
    if "pth.h" in result.stderr:
        raise Skip("there is no pth.h (libpth-dev)")
    check(result.returncode == 0, result.stderr)
    process = t.spawn([program])
    t.wait(lambda: "ready" in process.stdout_text(), "the threads to stand", alive=process)
    return process


@suite.test
def every_thread_with_its_stack(t):
    process = start(t)
    document = t.report(process.pid)
    threads = {thread["name"]: thread for thread in document["green_threads"]}
    check(len(document["green_threads"]) == len(threads), "twice the same:", document["green_threads"])
    check(set(threads) == {"main", "**SCHEDULER**", "sleeper", "reader", "locker", "suspended", "sayer"}, sorted(threads))

    def functions(name):
        stack = threads[name].get("stack")
        return [] if stack is None else [f.get("function", "") for f in document["stacks"][stack]["frames"]]
    for name, state, wait, function in (("sleeper", "waiting", "time", "sleep_deep"), ("reader", "waiting", "fd", "reader"),
                                        ("locker", "waiting", "mutex", "locker"), ("sayer", "waiting", "time", "sayer"),
                                        ("main", "waiting", "thread", "main")):
        check(threads[name]["state"] == state, threads[name])
        check(function in functions(name), name, functions(name))
        check(threads[name].get("wait_reason") in (wait, None), threads[name])
    check(functions("sleeper").count("sleep_deep") == 6, functions("sleeper"))
    check(threads["suspended"]["state"] == "suspended", threads["suspended"])


@suite.test
def memory_that_lies_does_no_harm(t):
    process = start(t)
    for seed in range(1, 21):
        run(t, process.pid, "pth", 2 + seed % 5, seed)
    check(process.alive())


suite.main()
