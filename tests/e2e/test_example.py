#!/usr/bin/python3
"""The example daemon, which uses all of libgmr: its report by signal and from outside, in every view, while it takes orders."""
import os
import re
import signal

import daemons
from common import Client, check, check_threads, functions, stack_of, suite
from puppet import END, section, whole_reports


def exampled(t):
    process = t.spawn([t.build("examples/exampled")])
    line = t.wait(lambda: re.search(r"is ready, on port (\d+)", process.stderr_text()), "exampled", alive=process)
    address = ("127.0.0.1", int(line.group(1)))
    return daemons.Daemon(process, lambda: daemons.talk(address, b"order tea\n", b"your order is number "))


@suite.test
def by_signal_while_it_takes_orders(t):
    daemon = exampled(t)
    with Client(daemon.ask) as client:
        t.wait(lambda: client.answers >= 3, "the first orders", alive=daemon.process)
        for count in range(1, 6):
            os.kill(daemon.pid, signal.SIGUSR2)
            t.wait(lambda: daemon.process.stderr_text().count(END) == count, "a report", alive=daemon.process)
        seen = client.answers
        t.wait(lambda: client.answers > seen + 3 or client.errors, "orders after the reports", alive=daemon.process)
    check(client.errors == 0, client.errors, "orders failed:", client.first_error)
    for text in whole_reports(daemon.process.stderr_text()):
        check("product = exampled" in section(text, "Package"))
        threads = section(text, "Threads")
        for name in ("main_loop", "worker", "clerk", "dispatcher", "exampled.c:"):
            check(name in threads, name, "is not in", threads)
        green = section(text, "Green Threads")
        for name in ("Ada", "Barbara", "courier_main", "ucontext"):
            check(name in green, name, "is not in", green)
        configuration = section(text, "Configuration")
        check("connection = mysql://***:***@db.example.org/orders" in configuration and "token = ***" in configuration, configuration)
        check("open-sesame" not in text and "cafebabe" not in text, "a secret is in the report")
        desk = section(text, "Order Desk")
        check("orders taken = " in desk and "Liskov Lane" in desk, desk)


@suite.test
def from_outside_in_every_view(t):
    daemon = exampled(t)
    t.wait(lambda: t.report(daemon.pid, "--sections", "green_threads")["green_threads"], "the couriers")
    document = t.report(daemon.pid)
    check_threads(document, daemon.pid)
    check(document["package"]["product"] == "exampled" and document["package"]["vendor"] == "The gmr authors", document["package"])
    couriers = {green.get("name"): green for green in document["green_threads"]}
    check({"Ada", "Grace", "Dennis", "Ken", "Barbara"} <= set(couriers), couriers)
    for courier in couriers.values():
        names = functions(document, courier)
        check("courier_main" in names, courier, names)
    check(document["configuration"]["api"]["token"] == "***", document["configuration"])
    desk = document["sections"]["Order Desk"]
    check(len(desk["couriers"]) == 5 and desk["couriers"][0]["Courier"] == "Ada", desk)
    frames = [frame for thread in document["threads"] for frame in stack_of(document, thread)]
    check(any(frame.get("file", "").endswith("exampled.c") and frame.get("line") for frame in frames), "no lines of exampled.c")
    xml = t.gmr("report", daemon.pid, "--format", "xml")
    check(xml.returncode == 0, xml.stderr)
    t.valid_xml(xml.stdout)
    check("Order Desk" in xml.stdout)


@suite.test
def it_ends_when_told_and_removes_its_socket(t):
    daemon = exampled(t)
    check(t.gmr("trigger", daemon.pid).returncode == 0)
    check(f"{daemon.pid} " in t.gmr("list").stdout)
    check(daemon.process.stop() == 0, "exit status")
    check(f"{daemon.pid} " not in t.gmr("list").stdout)


suite.main()
