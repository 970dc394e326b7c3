#!/usr/bin/python3
"""gmr run, list and trigger: unmodified daemons with libgmr in them, each reporting by itself while it serves."""
import os
import pathlib
import re
import shutil
import signal
import subprocess

import daemons
from common import NOBODY, Client, Skip, check, check_threads, suite
from puppet import END, section, whole_reports


def run(t, *options):
    return [t.build("gmr"), "run", *options, "--"]


def reports(directory):
    """The finished report files of a log directory."""
    return sorted(path for path in pathlib.Path(directory).iterdir() if "_gurumeditation_" in path.name)


def log_directory(t):
    """One that daemons which change their user can write as well."""
    path = t.directory("log")
    path.chmod(0o1777)
    return path


def serves_and_reports(t, daemon, trigger, count=5):
    """trigger() makes one report and returns it; the daemon answers all the while."""
    with Client(daemon.ask) as client:
        t.wait(lambda: client.answers >= 3, "the first answers", alive=daemon.process)
        texts = [trigger() for _ in range(count)]
        seen = client.answers
        t.wait(lambda: client.answers > seen + 3 or client.errors, "answers after the reports", alive=daemon.process)
    check(client.errors == 0, client.errors, "requests failed:", client.first_error)
    return texts


def by_signal(t, pid, directory, number=signal.SIGUSR2):
    """Signals pid; the text of the report file that appears."""
    def trigger():
        before = set(reports(directory))
        os.kill(pid, number)
        def whole():
            new = [path for path in reports(directory) if path not in before and f"_{pid}_" in path.name]
            return new and (END in new[0].read_text() or '"report": {' in new[0].read_text()) and new[0]
        path = t.wait(whole, "a report file")
        check(path.stat().st_mode & 0o777 == 0o600, oct(path.stat().st_mode))
        return path.read_text()
    return trigger


def whole_text(text, pid):
    check(text.startswith("=") and END in text, text[:200])
    check(f"pid = {pid}" in section(text, "Report"), section(text, "Report"))
    check("status = complete" in section(text, "Report"), section(text, "Report"))
    for title in ("Package", "Threads", "Green Threads", "Processes", "Configuration", "Limits", "Open Files", "Modules",
                  "Resource Usage", "Control Group", "Host"):
        section(text, title)


@suite.test
def redis_by_signal_to_standard_error(t):
    daemon = daemons.redis(t, run(t))

    def trigger():
        before = daemon.process.stderr_text().count(END)
        os.kill(daemon.pid, signal.SIGUSR2)
        t.wait(lambda: daemon.process.stderr_text().count(END) > before, "a report", alive=daemon.process)
    serves_and_reports(t, daemon, trigger)
    texts = whole_reports(daemon.process.stderr_text())
    check(len(texts) == 5, len(texts))
    for text in texts:
        check("bio_" in text and "aeMain" in text)
        check("signal 12" in section(text, "Report"), section(text, "Report"))


@suite.test
def redis_in_json_to_files(t):
    directory = log_directory(t)
    daemon = daemons.redis(t, run(t, "--log-dir", directory, "--view", "json", "--service", "cache"))
    for text in serves_and_reports(t, daemon, by_signal(t, daemon.pid, directory)):
        document = t.valid_json(text)
        check(document["report"]["status"] == "complete", document["report"])
        check(document["report"]["service"] == "cache")
        check_threads(document, daemon.pid)
    check(all(path.name.startswith("cache_gurumeditation_") for path in reports(directory)))


@suite.test
def memcached_by_signal(t):
    directory = log_directory(t)
    daemon = daemons.memcached(t, run(t, "--log-dir", directory))
    for text in serves_and_reports(t, daemon, by_signal(t, daemon.pid, directory)):
        whole_text(text, daemon.pid)


@suite.test
def nginx_keeps_its_own_signal(t):
    """nginx handles SIGUSR2 itself (it starts a new binary): another trigger is used, and its handler stays."""
    directory = log_directory(t)
    daemon = daemons.nginx(t, run(t, "--log-dir", directory, "--signal", "none"))
    t.wait(lambda: len(daemon.family()) == 3, "two workers", alive=daemon.process)
    for pid in daemon.family():
        def trigger(pid=pid):
            result = t.gmr("trigger", pid)
            check(result.returncode == 0, result.stderr, result.stdout)
            path = pathlib.Path(result.stdout.strip().split()[-1])
            check(path.parent == directory and path in reports(directory), result.stdout)
            return path.read_text()
        for text in serves_and_reports(t, daemon, trigger, count=2):
            whole_text(text, pid)
    check(len(daemon.family()) == 3, "nginx has changed its processes:", daemon.family())


@suite.test
def apache_prefork_every_child_reports(t):
    """The children are forked, some after setup: each has working triggers of its own."""
    directory = log_directory(t)
    daemon = daemons.apache(t, run(t, "--log-dir", directory, "--signal", "RTMIN+5"))
    family = t.wait(lambda: len(daemon.family()) == 4 and daemon.family(), "three workers", alive=daemon.process)
    for pid in family:
        for text in serves_and_reports(t, daemon, by_signal(t, pid, directory, signal.SIGRTMIN + 5), count=1):
            check(f"pid = {pid}" in section(text, "Report"))


@suite.test
def postgresql_backends_report(t):
    """postgres sets its own handlers (SIGUSR2 too) in each child: a real-time signal is free."""
    directory = log_directory(t)
    daemon = daemons.postgres(t, run(t, "--log-dir", directory, "--signal", "RTMIN+6"))
    for text in serves_and_reports(t, daemon, by_signal(t, daemon.pid, directory, signal.SIGRTMIN + 6), count=2):
        check(f"pid = {daemon.pid}" in section(text, "Report"))
        check("ServerLoop" in text or "PostmasterMain" in text, section(text, "Threads"))


@suite.test
def list_shows_who_answers(t):
    one = daemons.redis(t, run(t, "--service", "first"))
    two = daemons.memcached(t, run(t, "--service", "second", "--signal", "none"))
    plain = t.spawn(["sleep", "1000"])
    silent = daemons.redis(t, run(t, "--service", "stopped"))
    t.freeze(silent.pid)
    try:
        result = t.gmr("list")
    finally:
        os.kill(silent.pid, signal.SIGCONT)
    check(result.returncode == 0, result.stderr)
    rows = {int(line.split()[0]): line for line in result.stdout.splitlines()[1:]}
    check("first" in rows[one.pid] and "signal USR2" in rows[one.pid] and "socket" in rows[one.pid], rows[one.pid])
    check("second" in rows[two.pid] and "signal" not in rows[two.pid], rows[two.pid])
    check(plain.pid not in rows)
    check("does not answer" in rows[silent.pid], rows[silent.pid])
    check(re.search(r" [0-9]+[sm]  signal", rows[one.pid]), "it is not told since when:", rows[one.pid])


@suite.test
def report_has_the_programs_own_half(t):
    daemon = daemons.redis(t, run(t))
    document = t.report(daemon.pid)
    check(document["package"].get("libgmr"), document["package"])
    statuses = {entry["name"]: entry["status"] for entry in document["report"]["sections"]}
    check(statuses["configuration"] == "ok", statuses)


@suite.test
def a_stopped_process_is_reported_all_the_same(t):
    daemon = daemons.redis(t, run(t))
    t.freeze(daemon.pid)
    document = t.report(daemon.pid, codes=(0, 1))
    check_threads(document, daemon.pid)
    reasons = {entry["name"]: entry.get("reason", "") for entry in document["report"]["sections"]}
    check("stopped" in reasons["configuration"], reasons)
    check(") T " in open(f"/proc/{daemon.pid}/stat", encoding="ascii").read(), "it does not stand any more")
    os.kill(daemon.pid, signal.SIGCONT)
    daemon.ask()


@suite.test
def trigger_without_libgmr_says_what_else_works(t):
    process = t.spawn(["sleep", "1000"])
    result = t.gmr("trigger", process.pid)
    check(result.returncode == 5, result)
    check("no control socket" in result.stderr and f"gmr report {process.pid}" in result.stderr, result.stderr)


@suite.test
def the_program_is_started_as_it_would_be(t):
    """Exit status, arguments, input and output are the program's; its children do not carry libgmr unless told."""
    result = subprocess.run([t.build("gmr"), "run", "sh", "-c", 'read line; echo "$line-$1-$0"; exit 7', "zero", "one"],
                            input="in\n", capture_output=True, text=True, check=False, env=t.environment())
    check(result.returncode == 7 and result.stdout == "in-one-zero\n" and result.stderr == "", result)
    child = "import os; print(os.environ.get('LD_PRELOAD', 'none'))"
    line = f"exec /usr/bin/python3 -c \"{child}\""
    check(t.gmr("run", "sh", "-c", line).stdout == "none\n")
    check("libgmr-preload.so" in t.gmr("run", "--follow", "sh", "-c", line).stdout)
    check(t.gmr("run", "--", "true", env=t.environment(LD_PRELOAD="")).returncode == 0)


@suite.test
def what_cannot_be_preloaded_is_refused(t):
    result = t.gmr("run", "--", t.build("gmr"), "--version")
    check(result.returncode == 126 and "linked statically" in result.stderr and "gmr report" in result.stderr, result)
    check(t.gmr("run", "--", "no-such-command").returncode == 127)
    check(t.gmr("run", "--", "/no/such/command").returncode == 127)
    check(t.gmr("run", "--", t.tmp).returncode in (126, 127))
    plain = t.tmp / "plain"
    plain.write_text("not a program")
    check(t.gmr("run", "--", plain).returncode == 126)
    foreign = t.tmp / "foreign"
    elf = bytearray(open("/bin/true", "rb").read())
    elf[18:20] = b"\x03\x00"
    foreign.write_bytes(elf)
    foreign.chmod(0o755)
    result = t.gmr("run", "--", foreign)
    check(result.returncode == 126 and "another kind of processor" in result.stderr, result)
    cut = t.tmp / "cut"
    cut.write_bytes(open("/bin/true", "rb").read()[:100])
    cut.chmod(0o755)
    check(t.gmr("run", "--", cut).returncode == 126)
    if os.getuid() != 0:
        raise Skip("a set-uid program needs root to be made")
    own = t.tmp / "set-uid"
    shutil.copy("/bin/true", own)
    own.chmod(0o4755)
    result = t.gmr("run", "--", own, user=NOBODY)
    check(result.returncode == 126 and "set-uid" in result.stderr, result)
    check(t.gmr("run", "--", own).returncode == 0, "root gains nothing by it")


suite.main()
