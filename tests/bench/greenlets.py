#!/usr/bin/python3
"""Greenlets of eventlet for `make bench`: COUNT of them, thirteen functions deep, of which SWITCHING run in turn without pause.

usage: greenlets.py COUNT SWITCHING OUT     prints "ready"; SIGUSR2 makes oslo.reports, the way that OpenStack's services have, write its
report to OUT, with a last line that says for how long the process did nothing else."""
import os
import signal
import sys
import time

import eventlet
from eventlet import event

try:
    from oslo_reports import guru_meditation_report
except ImportError:
    guru_meditation_report = None

COUNT, SWITCHING, OUT = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


class Version:
    def vendor_string(self):
        return "gmr"

    def product_string(self):
        return "greenlets"

    def version_string_with_package(self):
        return "1"


def on_signal(_number, _frame):
    began = time.monotonic()
    text = guru_meditation_report.TextGuruMeditation(Version()).run()
    with open(OUT + ".new", "w", encoding="utf-8") as file:
        file.write(f"{text}\nstood {(time.monotonic() - began) * 1e6:.0f} us\n")
    os.rename(OUT + ".new", OUT)


def deep(levels, leaf):
    if levels:
        return deep(levels - 1, leaf)
    return leaf()


def busy():
    while True:
        eventlet.sleep(0)


def main():
    never = event.Event()
    for number in range(COUNT - SWITCHING):
        eventlet.spawn(deep, 8, never.wait)
    for number in range(SWITCHING):
        eventlet.spawn(deep, 8, busy)
    eventlet.sleep(0)
    if guru_meditation_report:
        signal.signal(signal.SIGUSR2, on_signal)
    print("ready", flush=True)
    while True:
        eventlet.sleep(3600)


main()
