"""CPython from outside: OS threads, greenlets and asyncio tasks against what the program says of itself."""
import re

from common import check, suite
from python_truth import Python, check_busy, compare, plain
from source import run


@suite.test
def threads_greenlets_and_tasks_are_those_the_program_sees(t):
    process, truth = Python().start(t)
    stacks, notes = run(t, process.pid, "python")
    check(notes == "", notes)
    compare(truth, stacks)
    check(len(truth["greenlets"]) == 9, "the program has no greenlets: is python3-greenlet there?")
    states = [s.fields["state"] for s in stacks if s.kind == "greenlet"]
    check(sorted(states) == ["1", "2", "4", "4", "4", "4", "4", "4", "7"], "states", states)


@suite.test
def an_interpreter_stuck_in_a_c_call_is_read_all_the_same(t):
    process, truth = Python().start(t, "stuck")
    for _ in range(2):
        stacks, _ = run(t, process.pid, "python")
        compare(truth, stacks)
        main = next(s for s in stacks if s.tid == process.pid)
        check([frame[0] for frame in main.frames] == ["main", "<module>"], main.frames)


@suite.test
def green_threads_that_allocate_and_switch_all_the_time_are_all_found(t):
    for library in ("eventlet", "gevent"):
        check_busy(t, Python(), library)


@suite.test
def green_threads_that_come_and_go_leave_the_others_whole(t):
    process = Python().spawn(t, "greens_busy.py", "eventlet", 200, 20)
    t.wait(lambda: "ready" in process.stdout_text(), "the green threads to run", alive=process)
    for _ in range(5):
        stacks, notes = run(t, process.pid, "python")
        check(notes == "", notes)
        greens = [s for s in stacks if s.kind == "greenlet" and s.frames]
        check(len([s for s in greens if "worker" in [f[0] for f in s.frames]]) >= 199, len(greens))
        check([s for s in greens if s.frames[-1][0] == "spawner" or "spawner" in [f[0] for f in s.frames]], "no spawner")


THREADS = """
import greenlet, os, threading, time
def say():
    os.write(1, b"%d %d\\n" % (threading.get_native_id(), id(greenlet.getcurrent()))) # whole: threads say so at the same time
    time.sleep(3600)
def in_thread():
    main = greenlet.getcurrent()
    greenlet.greenlet(main.switch).switch()
    say()
for _ in range(3):
    threading.Thread(target=in_thread, daemon=True).start()
greenlet.greenlet(say).switch()
"""


@suite.test
def a_running_greenlet_names_its_os_thread(t):
    process = t.spawn(["/usr/bin/python3", "-c", THREADS])
    t.wait(lambda: process.stdout_text().count("\n") == 4, "its threads", alive=process)
    expected = {hex(int(line.split()[1])): int(line.split()[0]) for line in process.stdout_text().splitlines()}
    document = t.report(process.pid)
    running = {g["address"]: g.get("thread") for g in document["green_threads"] if g["state"] == "running"}
    check(running == expected, running, "is not", expected)


ONE = """
import ctypes, greenlet, time
libc = ctypes.CDLL(None)
for _ in range(9):
    libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.pause, None)
kept = []
def wait():
    greenlet.getcurrent().parent.switch()
for _ in range(5000):
    kept.append(greenlet.greenlet(wait))
    kept[-1].switch()
print("ready", flush=True)
time.sleep(3600)
"""


@suite.test
def os_threads_without_python_do_not_stand_for_its_greenlets(t):
    process = t.spawn(["/usr/bin/python3", "-c", ONE])
    t.wait(lambda: "ready" in process.stdout_text(), "its greenlets", alive=process)

    def apart():
        document = t.report(process.pid, codes=(0, 1))
        waiting = [g for g in document["green_threads"] if g["state"] == "suspended" and "stack" in g]
        check(len(waiting) == 5000 and len(document["threads"]) == 10, len(waiting), len(document["threads"]))
        # Together they would all have stood for as long as the copies took.
        cost = document["report"]["cost"]
        return cost["pause_median_us"] * 4 < cost["pause_max_us"]
    t.wait(apart, "a report for which only Python's thread stood long")


LEFT = """
import greenlet, threading, time
kept = []
def ends():
    main = greenlet.getcurrent()
    kept.append(main)
    kept.append(greenlet.greenlet(lambda: len([main.switch()])))
    kept[-1].switch()
threads = [threading.Thread(target=ends) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*map(id, kept), flush=True)
time.sleep(3600)
"""


@suite.test
def greenlets_whose_os_thread_has_ended_do_not_run(t):
    process = t.spawn(["/usr/bin/python3", "-c", LEFT])
    t.wait(lambda: process.stdout_text().endswith("\n"), "its threads to end", alive=process)
    left = {hex(int(word)) for word in process.stdout_text().split()}
    found = [g for g in t.report(process.pid)["green_threads"] if g["address"] in left]
    check(sorted(g["state"] for g in found) == ["done"] * 3 + ["suspended"] * 3, found)
    check(all("has ended" in g.get("problem", "") for g in found), found)


@suite.test
def a_core_file_has_the_same_greenlets_and_tasks(t):
    process, truth = Python().start(t)
    result = t.gmr("core", "--format", "json", t.core_of(process))
    document = t.valid_json(result.stdout)
    status = {section["name"]: section for section in document["report"]["sections"]}
    check(status["threads"]["status"] == status["green_threads"]["status"] == "ok", status)

    def frames(thread):
        found = [f for f in document["stacks"][thread["stack"]]["frames"] if f.get("language")] if "stack" in thread else []
        return plain([[f["function"], f["file"], f["line"]] for f in found]) or None
    greenlets = [g for g in document["green_threads"] if g["kind"] == "greenlet"]
    check([None if g["state"] == "running" else frames(g) for g in greenlets] == truth["greenlets"], greenlets, "are not", truth["greenlets"])
    tasks = {g["name"] for g in document["green_threads"] if g["kind"] == "asyncio task"}
    check({"first", "consumer", "sl\u00e9eper", "on-first"} <= tasks, tasks)
    threads = {str(thread["id"]): frames(thread) for thread in document["threads"]}
    for tid, expected in truth["threads"].items():
        check(threads.get(tid) == expected, f"OS thread {tid}:", threads.get(tid), "is not", expected)
    leaf = next(frame for g in greenlets if frames(g) for frame in document["stacks"][g["stack"]]["frames"]
                if frame["function"] == "green_leaf")
    check(leaf["source"] == "parent.switch(local)", leaf)


@suite.test
def text_counts_the_interpreters_own_functions(t):
    process, _ = Python().start(t, "stuck")
    t.freeze(process.pid)
    sections = ("--sections", "threads,green_threads,stacks")
    text, whole = (t.gmr("report", process.pid, *sections, *options).stdout for options in ((), ("--all-frames",)))
    own, kept = re.compile(r"^(?!/).*\[(python3|_greenlet)\S*\]", re.M), re.compile(r"^.* in .*\((?:python|guessed)\)\n    `.*`$", re.M)
    check(not own.search(text), own.search(text))
    check(len(own.findall(whole)) > 50 and "left out" not in whole, whole[:3000])
    # Recursion is shown once, and whole with all frames.
    check("more of the same" in text and "more of the same" not in whole, text)
    short, long = (list(dict.fromkeys(kept.findall(shown))) for shown in (text, whole))
    check(short == long and len(short) > 10, "the Python frames are not the same:", short, long)
    main = next(block for block in text.split("------\n") if block.startswith(process_name(process.pid)))
    lines = main.splitlines()
    first = next(number for number, line in enumerate(lines) if line.endswith("in main (python)"))
    check(any("[libc.so.6]" in line for line in lines[:first]), "the C call that it is in:", main)
    check(re.search(r"^\(\d+ C functions of the interpreter left out\)$", main, re.M), main)
    check("_start" not in main and "libc_start_main" not in main, main)
    # JSON has all of them, marked.
    document = t.report(process.pid, *sections)
    marked = sum(frame.get("interpreter", False) for stack in document["stacks"] for frame in stack["frames"])
    check(marked > 50, marked)


def process_name(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip()


NAMED = """
import threading, time
class Worker(threading.Thread):
    def run(self):
        time.sleep(3600)
def wait():
    time.sleep(3600)
threading.Thread(target=wait, name="plain").start()
looked_into = threading.Thread(target=wait, name="looked-into")
vars(looked_into)["added"] = 1
looked_into.start()
Worker(name="w\u00f6rker").start()
time.sleep(3600)
"""


@suite.test
def threads_have_the_names_that_python_gives_them(t):
    process = t.spawn(["/usr/bin/python3", "-c", NAMED])
    t.wait(lambda: sorted(thread.get("language_name", "") for thread in t.report(process.pid, codes=(0, 1))["threads"]) ==
           ["", "looked-into", "plain", "w\u00f6rker"], "the names")
    text = t.gmr("report", process.pid).stdout
    check('python3 "w\u00f6rker", sleeping' in text, text[:3000])
    check(re.search(r'^python3 "(plain|looked-into)", .*\nand 1 more with the same stack: #\d+ \((plain|looked-into)\)$', text, re.M), text[:3000])


ASYNCIO = """
import asyncio, time
async def leaf():
    await asyncio.sleep(3600)
async def in_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(), name="member")
async def in_gather():
    await asyncio.gather(leaf(), leaf())
def blocking():
    time.sleep(3600)
async def in_thread():
    await asyncio.to_thread(blocking)
async def waiter(lock):
    async with lock:
        pass
async def main():
    lock, queue = asyncio.Lock(), asyncio.Queue()
    await lock.acquire()
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in (
        ("group", in_group()), ("gather", in_gather()), ("thread", in_thread()), ("waiter", waiter(lock)), ("getter", queue.get()))]
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.wait_for(asyncio.shield(tasks[0]), 3600)
asyncio.run(main())
"""


@suite.test
def tasks_that_wait_in_asyncios_own_ways(t):
    process = t.spawn(["/usr/bin/python3", "-c", ASYNCIO])
    t.wait(lambda: "ready" in process.stdout_text(), "its tasks", alive=process)

    def functions(document, thread):
        return [frame["function"] for frame in document["stacks"][thread["stack"]]["frames"] if frame.get("language")]

    def settled():
        document = t.report(process.pid, codes=(0, 1))
        return document if len(document["green_threads"]) == 9 and all(g["state"] == "waiting" for g in document["green_threads"]) else None
    document = t.wait(settled, "all tasks to wait", alive=process)
    tasks = {g["name"]: functions(document, g) for g in document["green_threads"]}
    for name, expected in (("Task-1", ["wait_for", "main"]), ("group", ["TaskGroup.__aexit__", "in_group"]), ("member", ["sleep", "leaf"]),
                           ("gather", ["in_gather"]), ("thread", ["to_thread", "in_thread"]), ("getter", ["Queue.get"]),
                           ("waiter", ["Lock.acquire", "_ContextManagerMixin.__aenter__", "waiter"])):
        check(tasks.get(name) == expected, name, tasks.get(name), "is not", expected)
    blocked = [functions(document, thread) for thread in document["threads"] if "stack" in thread]
    check(any(frames[:1] == ["blocking"] for frames in blocked), "the thread that to_thread() made:", blocked)


IMPORTS = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
for _ in range(2):
    threading.Thread(target=lambda: __import__("takes_long"), daemon=True).start()
time.sleep(3600)
"""


@suite.test
def who_waits_for_an_import_is_seen_and_for_which(t):
    (t.tmp / "takes_long.py").write_text("import time\ntime.sleep(3600)\n")
    process = t.spawn(["/usr/bin/python3", "-c", IMPORTS, t.tmp])

    def found():
        document = t.report(process.pid, codes=(0, 1))
        stacks = [[frame["function"] for frame in document["stacks"][thread["stack"]]["frames"] if frame.get("language")]
                  for thread in document["threads"] if "stack" in thread]
        importing = [frames for frames in stacks if "exec_module" in "".join(frames) and frames[:1] == ["<module>"]]
        waiting = [frames for frames in stacks if frames[:1] == ["_ModuleLock.acquire"]]
        return len(importing) == len(waiting) == 1
    t.wait(found, "one that imports and one that waits for it", alive=process)


@suite.test
def memory_that_lies_does_no_harm(t):
    process, _ = Python().start(t)
    for seed in range(1, 31):
        run(t, process.pid, "python", 5 + seed * 7, seed)
    check(process.alive())


@suite.test
def a_program_without_python_has_none(t):
    process = t.spawn(["/bin/sleep", "1000"])
    stacks, notes = run(t, process.pid, "python", code=1)
    check(not stacks and not notes)


suite.main()
