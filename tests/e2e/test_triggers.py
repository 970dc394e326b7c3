"""Triggers and outputs: signals in storms, forked workers, files, sockets, directories that are full, closed or not ours."""
import glob
import os
import re
import signal
import socket
import stat
import subprocess

from common import NOBODY, Skip, check, suite
from puppet import END, Puppet, section, whole_reports

FILE_NAME = re.compile(r"puppet_gurumeditation_\d{14}_\d+_\d+")


def files_in(directory):
    return sorted(os.listdir(directory))


@suite.test
def a_storm_of_signals_yields_whole_reports(t):
    puppet = Puppet(t, "threads 5").setup(min_interval_ms=50)
    for _ in range(200):
        puppet.signal()
    puppet.report()
    puppet.report()
    check(len(puppet.reports()) <= 60)


@suite.test
def workers_signalled_all_at_once_give_a_whole_report_each(t):
    puppet = Puppet(t, "register Mine plain").setup()
    puppet.send("fork 6")
    workers = [int(pid) for pid in puppet.line().split()[:6]]
    t.cleanup(lambda: [os.kill(pid, signal.SIGKILL) for pid in workers])
    for pid in [*workers, puppet.pid]:
        os.kill(pid, signal.SIGUSR2)
    t.wait(lambda: puppet.stderr().count(END) >= 7, "seven reports", alive=puppet.process)
    reports = puppet.reports()
    pids = {int(re.search(r"^pid = (\d+)$", report.split(" Report ")[-1], re.M).group(1)) for report in reports}
    check(pids == {*workers, puppet.pid}, "reports of", pids)
    for report in reports:
        check("answer = 42" in section(report, "Mine"))


@suite.test
def workers_write_files_of_their_own(t):
    logs = t.directory("logs")
    puppet = Puppet(t).setup(log_dir=logs)
    puppet.send("fork 6")
    workers = [int(pid) for pid in puppet.line().split()[:6]]
    t.cleanup(lambda: [os.kill(pid, signal.SIGKILL) for pid in workers])
    for count in (6, 12):
        for pid in workers:
            os.kill(pid, signal.SIGUSR2)
        t.wait(lambda: puppet.stderr().count("written to") == count, "six more files", alive=puppet.process)
    names = files_in(logs)
    check(len(names) == 12 and all(FILE_NAME.fullmatch(name) for name in names), names)
    for name in names:
        check(stat.S_IMODE((logs / name).stat().st_mode) == 0o600, name)
        check(len(whole_reports((logs / name).read_text())) == 1)
        check(str(logs / name) in puppet.stderr())


@suite.test
def forked_children_can_be_left_out(t):
    puppet = Puppet(t).setup(fork_children=2)
    puppet.send("fork 1")
    worker = int(puppet.line().split()[0])
    t.cleanup(os.kill, worker, signal.SIGKILL)
    check(len(os.listdir(f"/proc/{worker}/task")) == 1)


@suite.test
def the_log_names_the_file(t):
    logs, log = t.directory("logs"), t.tmp / "log"
    puppet = Puppet(t).setup(log_dir=logs, log=log, service="../we*ird/name")
    puppet.signal()
    t.wait(lambda: log.exists() and "written to" in log.read_text(), "the log's line", alive=puppet.process)
    name, = files_in(logs)
    check(re.fullmatch(r"_\._we_ird_name_gurumeditation_\d{14}_\d+_\d+", name), name)
    check(str(logs / name) in log.read_text())
    check(puppet.stderr() == "", "standard error is the program's own:", puppet.stderr())


@suite.test
def a_relative_directory_is_meant_where_setup_was_called(t):
    t.directory("logs")
    puppet = Puppet(t).setup(log_dir="logs")
    puppet("chdir /")
    puppet.signal()
    t.wait(lambda: "written to" in puppet.stderr(), "a file", alive=puppet.process)
    check(len(files_in(t.tmp / "logs")) == 1)


@suite.test
def a_directory_that_takes_nothing_leaves_the_report_on_standard_error(t):
    missing = t.tmp / "missing"
    puppet = Puppet(t).setup(log_dir=missing)
    report = puppet.report()
    check("no such file or directory" in puppet.stderr().splitlines()[0], puppet.stderr()[:300])
    section(report, "Threads")


@suite.test
def a_full_disk_leaves_the_report_on_standard_error(t):
    if os.geteuid() != 0:
        raise Skip("needs root to mount a small file system")
    small = t.directory("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", small], check=True)
    t.cleanup(subprocess.run, ["umount", "-l", small])
    puppet = Puppet(t, "register Flood floods").setup(log_dir=small, section_max_bytes=60000)
    report = puppet.report()
    check("no space left" in puppet.stderr(), puppet.stderr()[:300])
    section(report, "Flood")
    check(files_in(small) == [], "half a report is left behind")


@suite.test
def a_file_size_limit_is_survived(t):
    logs = t.directory("logs")
    puppet = Puppet(t, "register Flood floods").setup(log_dir=logs, section_max_bytes=60000)
    puppet("limit fsize 4096")
    puppet.signal()
    t.wait(lambda: "file size limit" in puppet.stderr(), "the reason", alive=puppet.process)
    check(puppet("armed") & 1)


@suite.test
def links_are_not_followed(t):
    logs = t.directory("logs")
    victim = t.tmp / "victim"
    victim.write_text("precious")
    puppet = Puppet(t).setup(log_dir=logs)
    # Every name it could take in the next seconds leads to the victim.
    import datetime
    now = datetime.datetime.now(datetime.timezone.utc)
    for second in range(20):
        moment = (now + datetime.timedelta(seconds=second)).strftime("%Y%m%d%H%M%S")
        (logs / f"puppet_gurumeditation_{moment}_{puppet.pid}_1").symlink_to(victim)
    puppet.signal()
    t.wait(lambda: "written to" in puppet.stderr(), "a file", alive=puppet.process)
    check(victim.read_text() == "precious")


@suite.test
def old_reports_go_when_there_are_too_many(t):
    logs = t.directory("logs")
    (logs / "puppet_gurumeditation_notes.txt").write_text("not a report")
    (logs / "other_gurumeditation_20200101000000_1_1").write_text("another service's")
    puppet = Puppet(t).setup(log_dir=logs, max_files=3, min_interval_ms=1)
    for count in range(1, 7):
        puppet.signal()
        t.wait(lambda: puppet.stderr().count("written to") == count, "one more file", alive=puppet.process)
    names = files_in(logs)
    newest = [line.rsplit("/", 1)[1] for line in puppet.stderr().splitlines()[-3:]]
    check(sorted(newest) == [name for name in names if FILE_NAME.fullmatch(name)], names)
    check("puppet_gurumeditation_notes.txt" in names and "other_gurumeditation_20200101000000_1_1" in names)


@suite.test
def a_watched_file_triggers_when_its_time_moves(t):
    watched = t.tmp / "touch-me"
    puppet = Puppet(t).setup(watch_file=watched, watch_interval_ms=50, min_interval_ms=1)
    check(puppet("armed") & 2)

    def reports(count, act):
        act()
        t.wait(lambda: puppet.stderr().count(END) == count, f"report {count}", alive=puppet.process)

    reports(1, watched.touch)
    reports(2, lambda: os.utime(watched, (1000, 1000)))
    watched.unlink()
    reports(3, watched.touch)
    watched.rename(t.tmp / "aside")
    (t.tmp / "aside").rename(watched)
    reports(4, lambda: os.utime(watched, (2000, 2000)))
    check("the watched file" in puppet.stderr())


@suite.test
def a_watched_file_may_get_its_directory_later(t):
    directory = t.tmp / "later"
    puppet = Puppet(t).setup(watch_file=directory / "touch-me", watch_interval_ms=50)
    directory.mkdir()
    (directory / "touch-me").touch()
    t.wait(lambda: puppet.stderr().count(END) == 1, "a report", alive=puppet.process)


def socket_of(pid):
    paths = glob.glob(f"/run/gmr/{pid}.sock") + glob.glob(f"/tmp/gmr-*/{pid}.sock") + glob.glob(f"/run/user/*/gmr/{pid}.sock")
    check(len(paths) == 1, "sockets:", paths)
    return paths[0]


def talk(path, request, timeout=30):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        client.connect(path)
        client.sendall(request)
        answer = b""
        while part := client.recv(65536):
            answer += part
        return answer


@suite.test
def the_control_socket_is_for_its_owner(t):
    puppet = Puppet(t).setup()
    path = socket_of(puppet.pid)
    check(stat.S_IMODE(os.stat(path).st_mode) == 0o600)
    check(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700)
    check(b"puppet" in talk(path, b"gmr/1 hello\n"))
    check(b"standard error" in talk(path, b"gmr/1 trigger\n"))
    check(len(puppet.reports()) == 1)


@suite.test
def the_control_socket_takes_any_bytes(t):
    puppet = Puppet(t).setup()
    path = socket_of(puppet.pid)
    for request in (b"\n", b"gmr/1\n", b"gmr/2 hello\n", b"GET / HTTP/1.0\r\n\r\n", b"\0" * 5000, b"gmr/1 hello" + b" x" * 4000 + b"\n",
                    b"gmr/1 nothing\n", os.urandom(3000), b"gmr/1 sections names=" + b"," * 400 + b"\n", b"gmr/1 sections view=papyrus\n"):
        try:
            talk(path, request)
        except (ConnectionResetError, BrokenPipeError):
            pass
    # Half-open ones and a crowd: everybody gets a turn, and a signal need not wait for them.
    crowd = []
    for _ in range(12):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        crowd.append(client)
    crowd[3].sendall(b"gmr/1 hel")
    puppet.report()
    for client in crowd:
        client.close()
    check(b"puppet" in talk(path, b"gmr/1 hello\n"))


@suite.test
def nobody_waits_for_a_slow_client(t):
    puppet = Puppet(t, "register Flood floods").setup(section_max_bytes=2 << 20)
    path = socket_of(puppet.pid)
    with socket.socket(socket.AF_UNIX) as slow, socket.socket(socket.AF_UNIX) as silent:
        for client in (silent, slow):
            client.settimeout(60)
            client.connect(path)
        slow.sendall(b"gmr/1 sections view=json names=own\n")
        start = slow.recv(1000)  # the answer is made; most of it is not taken
        for _ in range(2):
            puppet.report()
        check(b"puppet" in talk(path, b"gmr/1 hello\n"))
        while part := slow.recv(65536):
            start += part
        check(len(start) > 1 << 20, "the slow client's answer was cut short:", len(start))


@suite.test
def a_crowd_of_silent_clients_keeps_nobody_out(t):
    puppet = Puppet(t).setup()
    path = socket_of(puppet.pid)
    crowd = []
    for _ in range(24):  # more than are served at a time
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        client.settimeout(60)
        crowd.append(client)
    check(t.report(puppet.pid, "--sections", "package")["package"].get("libgmr"), "its own half does not answer")
    check(t.gmr("trigger", puppet.pid).returncode == 0)
    for client in crowd:
        check(client.recv(10) == b"")
        client.close()


@suite.test
def somebody_else_gets_no_answer(t):
    if os.geteuid() != 0:
        raise Skip("needs root to be somebody else")
    puppet = Puppet(t, user=NOBODY, env=t.environment(XDG_RUNTIME_DIR=None)).setup()
    path = socket_of(puppet.pid)
    check(b"puppet" in talk(path, b"gmr/1 hello\n"), "root is answered")
    os.chmod(path, 0o666)
    os.chmod(os.path.dirname(path), 0o755)
    t.cleanup(os.chmod, os.path.dirname(path), 0o700)
    script = ("import socket,sys; c=socket.socket(socket.AF_UNIX); c.connect(sys.argv[1])\n"
              "try:\n c.sendall(b'gmr/1 hello\\n'); print(c.recv(100))\nexcept OSError: print(b'')")
    result = subprocess.run(["/usr/bin/python3", "-c", script, path], user=12345, group=12345, extra_groups=[], capture_output=True, check=True)
    check(result.stdout.strip() == b"b''", result.stdout)


@suite.test
def sockets_of_dead_processes_are_removed(t):
    first = Puppet(t).setup()
    stale = socket_of(first.pid)
    first.process.popen.kill()
    first.process.popen.wait()
    check(os.path.exists(stale))
    second = Puppet(t).setup()
    check(not os.path.exists(stale))
    ended = socket_of(second.pid)
    second("shutdown")
    check(not os.path.exists(ended))


@suite.test
def a_closed_standard_error_does_no_harm(t):
    puppet = Puppet(t).setup()
    puppet("close 2")
    path = socket_of(puppet.pid)
    check(b"nowhere" in talk(path, b"gmr/1 trigger\n"))
    # Whatever gets the number 2 next is not standard error: a network connection, a database.
    victim = t.tmp / "database"
    victim.write_text("rows")
    check(puppet(f"open-rdwr {victim}") == 2)
    check(b"nowhere" in talk(path, b"gmr/1 trigger\n"))
    check(victim.read_text() == "rows")


@suite.test
def standard_error_that_nobody_reads_blocks_nobody(t):
    reader, writer = os.pipe()
    puppet = Puppet(t, "register Flood floods", stderr=writer).setup(section_max_bytes=300000, report_timeout_ms=3000)
    os.close(writer)
    puppet.signal()
    for _ in range(50):
        check(puppet("armed") & 1)
    with open(f"/proc/{puppet.pid}/fdinfo/2", encoding="ascii") as info:
        flags = int(re.search(r"flags:\s*(\d+)", info.read()).group(1), 8)
    check(flags & os.O_NONBLOCK == 0, "the program's own descriptor was changed")
    # Past its deadline the report is given up; the next one, which is read, is whole.
    t.wait(lambda: b"standard error" not in talk(socket_of(puppet.pid), b"gmr/1 hello\n"), "an answer")
    import threading
    text = bytearray()

    def read():
        while part := os.read(reader, 65536):
            text.extend(part)
    threading.Thread(target=read, daemon=True).start()
    puppet.signal()
    t.wait(lambda: END.encode() in text, "a whole report", alive=puppet.process)


suite.main()
