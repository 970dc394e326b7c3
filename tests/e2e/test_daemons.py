#!/usr/bin/python3
"""gmr report on unmodified daemons: every thread has a stack that ends where the thread began, and the daemon serves all the while."""
import daemons
from common import Client, check, check_threads, suite

SECTIONS = ["Package", "Threads", "Green Threads", "Processes", "Configuration", "Limits", "Open Files", "Modules",
            "Resource Usage", "Control Group", "Host", "Report"]


def banner(title):
    return f"===={title:^64}===="


def report_in_all_views(t, daemon, pid):
    """A report of pid in each view, whole and valid."""
    document = t.report(pid)
    check(document["report"]["pid"] == pid and document["report"]["status"] == "complete", document["report"])
    shown = check_threads(document, pid)
    text = t.gmr("report", pid)
    check(text.returncode == 0, text.stderr, text.stdout[-2000:])
    for title in SECTIONS:
        check(banner(title) in text.stdout, "no section", title)
    check(text.stdout.rstrip().endswith("||||"), "the end mark is missing")
    for tid in shown:
        check(f"#{tid}" in text.stdout or str(tid) in text.stdout, "thread", tid, "is not in the text")
    xml = t.gmr("report", pid, "--format", "xml")
    check(xml.returncode == 0, xml.stderr)
    t.valid_xml(xml.stdout)
    return document


def serves_while_reported(t, daemon, pids=None, rounds=3):
    """Reports of every process of the daemon, while a client asks without a pause: no request fails."""
    with Client(daemon.ask) as client:
        t.wait(lambda: client.answers >= 3, "the first answers", alive=daemon.process)
        for _ in range(rounds):
            for pid in pids or [daemon.pid]:
                report_in_all_views(t, daemon, pid)
        seen = client.answers
        t.wait(lambda: client.answers > seen + 3 or client.errors, "answers after the reports", alive=daemon.process)
    check(client.errors == 0, client.errors, "requests failed:", client.first_error)
    daemon.ask()


@suite.test
def redis_server(t):
    daemon = daemons.redis(t)
    serves_while_reported(t, daemon)
    document = t.report(daemon.pid)
    names = {thread["name"] for thread in document["threads"]}
    check("redis-server" in names and any(name.startswith("bio_") for name in names), names)
    check(document["package"]["executable"].endswith("redis-check-rdb") or "redis" in document["package"]["executable"], document["package"])


@suite.test
def memcached(t):
    daemon = daemons.memcached(t)
    serves_while_reported(t, daemon)
    check(len(t.report(daemon.pid)["threads"]) >= 5)


@suite.test
def nginx_master_and_workers(t):
    daemon = daemons.nginx(t)
    t.wait(lambda: len(daemon.family()) == 3, "two workers", alive=daemon.process)
    serves_while_reported(t, daemon, daemon.family(), rounds=2)
    document = t.report(daemon.pid)
    text = str(document["processes"])
    for pid in daemon.family():
        check(str(pid) in text, "process", pid, "is not in", text)


@suite.test
def apache_prefork(t):
    daemon = daemons.apache(t)
    t.wait(lambda: len(daemon.family()) == 4, "three workers", alive=daemon.process)
    serves_while_reported(t, daemon, daemon.family(), rounds=2)


@suite.test
def postgresql(t):
    daemon = daemons.postgres(t)
    # A child of the postmaster that serves one connection may be gone before its report is made.
    lasting = t.wait(lambda: [pid for pid in daemon.family() if pid == daemon.pid or named(pid)], "its helpers")
    serves_while_reported(t, daemon, lasting, rounds=1)


def named(pid):
    """One of PostgreSQL's lasting helpers?"""
    try:
        title = open(f"/proc/{pid}/cmdline", "rb").read()
    except OSError:
        return False
    return any(word in title for word in (b"checkpointer", b"background writer", b"walwriter", b"autovacuum launcher"))


suite.main()
