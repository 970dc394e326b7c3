#!/usr/bin/python3
"""Green threads of eventlet or gevent that never stand still: they allocate and switch all the time, and others come and go.

usage: greens_busy.py eventlet|gevent COUNT [COMING]     prints "ready COUNT" once all have run"""
import sys

if sys.argv[1] == "gevent":
    from gevent import sleep, spawn
else:
    from eventlet import sleep, spawn
COUNT = int(sys.argv[2])
COMING = int(sys.argv[3]) if len(sys.argv) > 3 else 0
BALLAST = [{"number": (number, [number])} for number in range(30000)]


class Node:
    def __init__(self, other):
        self.other, self.me = other, self  # a circle: only the collector ends it


def leaf(depth):
    if depth:
        return leaf(depth - 1)
    nodes = [Node(None)]
    for _ in range(3):
        nodes.append(Node(nodes[-1]))
    sleep(0)
    return {"nodes": [(number, [number]) for number in range(3)]}


def worker(number):
    while True:
        kept = leaf(number % 7)
        del kept


def passing():
    leaf(2)


def spawner():
    while True:
        for _ in range(COMING):
            spawn(passing)
        leaf(1)


def main():
    for number in range(COUNT):
        spawn(worker, number)
    if COMING:
        spawn(spawner)
    sleep(0)
    sleep(0)
    print("ready", COUNT, flush=True)
    while True:
        sleep(0)


main()
