#!/usr/bin/python3
"""A Python program with OS threads, generators, asyncio tasks and (where the module is there) greenlets that stand
still, and that writes what it knows of them to a file: what gmr must find from outside.

usage: pythons.py TRUTH.json [stuck]     stuck: the main thread then stays inside one C call, holding the GIL"""
import asyncio
import ctypes
import gc
import json
import os
import sys
import threading
import time
import traceback

try:
    import greenlet
except ImportError:
    greenlet = None


def stack_of(frame):
    return [[entry.name, entry.filename, entry.lineno] for entry in reversed(traceback.extract_stack(frame))]


class Waiter:
    def __init__(self):
        self.ready = threading.Event()

    def deep(self, levels, event):
        if levels > 0:
            return self.deep(levels - 1, event)
        self.ready.set()
        event.wait()

    def by_generator(self, event):
        def values():
            yield 1
            self.deep(2,
                      event)
            yield 2
        return [value for value in values()]


def in_c_callback(waiter, event):
    def compare(item):
        waiter.deep(1, event)
        return 0
    return sorted([2, 1], key=compare)


async def innermost(future):
    await future


async def middle(future):
    try:
        await innermost(future)
    finally:
        pass


async def outer(future):
    await middle(future)


async def generate(future):
    yield 1
    await middle(future)
    yield 2


async def consume(future):
    async for _ in generate(future):
        pass


async def sleeper():
    await asyncio.sleep(3600)


async def awaits_task(task):
    await task


def loop_thread(ready):
    async def main():
        future = asyncio.get_running_loop().create_future()
        first = asyncio.create_task(outer(future), name="first")
        tasks = [first, asyncio.create_task(consume(future), name="consumer"),
                 asyncio.create_task(sleeper(), name="sl\u00e9eper"),
                 asyncio.create_task(awaits_task(first), name="on-first")]
        await asyncio.sleep(0.1)
        ready.set()
        await asyncio.gather(*tasks)
    asyncio.run(main())


def green_leaf(parent, number):
    local = number * 2
    parent.switch(local)
    return local


def green_chain(levels, parent, number):
    if levels:
        return green_chain(levels - 1, parent, number)
    return sorted([number], key=lambda item: green_leaf(parent, item))


def main():
    truth_file = sys.argv[1]
    event = threading.Event()
    waiters = []
    for target in ("deep", "by_generator", "callback"):
        waiter = Waiter()
        function = {"deep": lambda w: w.deep(5, event), "by_generator": lambda w: w.by_generator(event),
                    "callback": lambda w: in_c_callback(w, event)}[target]
        thread = threading.Thread(target=function, args=(waiter,), daemon=True)
        thread.start()
        waiter.ready.wait()
        waiters.append(thread)
    ready = threading.Event()
    threading.Thread(target=loop_thread, args=(ready,), daemon=True).start()
    ready.wait()
    greens = []
    if greenlet:
        for number in range(6):
            green = greenlet.greenlet(green_chain)
            green.switch(number * 3, greenlet.getcurrent(), number)
            greens.append(green)
        greens.append(greenlet.greenlet(green_chain))
        done = greenlet.greenlet(lambda: 1)
        done.switch()
        greens.append(done)
    time.sleep(0.3)
    gc.collect()
    truth = {"threads": {}, "greenlets": [], "version": sys.version_info[:2], "pid": os.getpid()}
    native = {t.ident: t.native_id for t in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            truth["threads"][str(native[ident])] = stack_of(frame)
    if greenlet:
        for green in [o for o in gc.get_objects() if isinstance(o, greenlet.greenlet)]:
            truth["greenlets"].append(stack_of(green.gr_frame) if green.gr_frame else None)
    with open(truth_file + ".new", "w") as out:
        json.dump(truth, out)
    os.rename(truth_file + ".new", truth_file)
    if len(sys.argv) > 2:
        ctypes.PyDLL(None).sleep(3600)
    time.sleep(3600)


main()
