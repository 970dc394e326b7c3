#!/usr/bin/python3
"""The sections made from /proc: on live processes beside what the kernel, psutil and readelf say, and on trees made up by a liar."""
import os
import pathlib
import platform
import re
import resource
import select
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import psutil  # noqa: E402  pylint: disable=wrong-import-position
import validate  # noqa: E402  pylint: disable=wrong-import-position
from common import BUILD, Skip, check, suite  # noqa: E402  pylint: disable=wrong-import-position

SECTIONS = ["processes", "limits", "environment", "open_files", "modules", "resources", "cgroup", "host"]


def raw(section, pid, view, proc="/proc"):
    result = subprocess.run([BUILD / "tests/sections/section_dump", section, str(pid), view, str(proc)], stdout=subprocess.PIPE,
                            check=True, timeout=100)
    return result.stdout.decode()


def whole(section, pid, proc="/proc"):
    """The report with this one section, valid in all views."""
    validate.validate_xml(raw(section, pid, "xml", proc))
    text = raw(section, pid, "text", proc)
    check(not re.search("[\x00-\x08\x0b-\x1f\x7f]", text), "control characters in text", repr(text[:2000]))
    return validate.validate_json(raw(section, pid, "json", proc))


def outcome(document):
    return document["report"]["sections"][0]


def data(section, pid, proc="/proc"):
    document = whole(section, pid, proc)
    check(outcome(document)["status"] == "ok", outcome(document))
    return document[section]


def sleeper(t, *arguments, code="import time; print('ready', flush=True); time.sleep(1000)"):
    process = t.spawn([sys.executable, "-c", code, *arguments])
    t.wait(lambda: "ready" in process.stdout_text(), "the process to be ready")
    return process


# ---------------------------------------------------------------------------------------------- live


@suite.test
def secrets_of_a_command_line_do_not_show(t):
    process = sleeper(t, "--password=geheim1", "--token", "geheim2", "mysql://me:geheim3@h/x", "API_KEY=geheim4")
    for view in ("text", "json", "xml"):
        out = raw("processes", process.pid, view)
        check("geheim" not in out and "***" in out, out)
    command = data("processes", process.pid)[0]["command"]
    check(command[-5:] == ["--password=***", "--token", "***", "mysql://***:***@h/x", "API_KEY=***"], command)


@suite.test
def a_command_line_of_any_length_and_bytes_is_shown_in_part(t):
    process = sleeper(t, "\udcff\udcfe", "new\nline\x1b[31m", "0" * 100000)
    command = data("processes", process.pid)[0]["command"]
    check(command[0] == sys.executable and "new\nline\x1b[31m" in command and command[-1] == "...", command[:5])
    check("0000" not in "".join(command), "the argument that was cut is not shown")


@suite.test
def limits_are_those_of_the_kernel(t):
    def change():
        resource.setrlimit(resource.RLIMIT_NOFILE, (123, 456))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.RLIM_INFINITY if os.getuid() == 0 else 0))
    process = t.spawn(["sleep", "1000"], preexec_fn=change)
    t.wait(lambda: psutil.Process(process.pid).name() == "sleep", "sleep to run")
    limits = data("limits", process.pid)
    check(limits["open_files"] == {"soft": 123, "hard": 456, "unit": "files"}, limits["open_files"])
    for name, number in (("cpu_time", resource.RLIMIT_CPU), ("stack_size", resource.RLIMIT_STACK), ("address_space", resource.RLIMIT_AS),
                         ("nice_priority", resource.RLIMIT_NICE), ("processes", resource.RLIMIT_NPROC)):
        expected = tuple("unlimited" if value == resource.RLIM_INFINITY else value for value in resource.prlimit(process.pid, number))
        check((limits[name]["soft"], limits[name]["hard"]) == expected, name, limits[name], expected)
    check(len(limits) == 16, sorted(limits))
    check("open_files = 123 files (hard: 456)" in raw("limits", process.pid, "text"))


@suite.test
def of_the_environment_only_what_is_on_the_list_shows(t):
    long = "/x" * 5000
    process = t.spawn(["sleep", "1000"], env={"PATH": "/bin", "LC_ALL": "C", "API_KEY": "geheim", "MY_OWN": "geheim", "http_proxy": "http://u:geheim@p:1/",
                                              "GMR_VIEW": "json", "LD_LIBRARY_PATH": long, "TZ": "Europe/Vienna", "PYTHONPATH_X": "geheim",
                                              "HOME": "/new\nline", "LC_": "x"})
    t.wait(lambda: psutil.Process(process.pid).name() == "sleep", "sleep to run")
    document = whole("environment", process.pid)
    shown = {"PATH": "/bin", "LC_ALL": "C", "http_proxy": "http://***:***@p:1/", "GMR_VIEW": "json", "TZ": "Europe/Vienna", "HOME": "/new\nline",
             "LD_LIBRARY_PATH": "..."}
    check(document["environment"] == {"shown": shown, "not_shown": 4}, document["environment"])
    check(outcome(document)["reason"] == "1 values are too long to be shown", outcome(document))
    put(t.tmp, "5/environ", b"PATH=/a\0PATH=/b\0=x\0noequals\0\0\xff\xfe=1\0" + b"Y=" + b"y" * 4093 + b"\0TZ=1\0" + b"Z=" + b"z" * 4094 + b"\0TERM=end")
    check(data("environment", 5, t.tmp) == {"shown": {"PATH": "/a", "TZ": "1", "TERM": "end"}, "not_shown": 6}, raw("environment", 5, "json", t.tmp))


FILES = """
import os, select, socket, time, sys
d = sys.argv[1]
f = os.open(d + '/a file', os.O_CREAT | os.O_RDWR)
x = os.open(d + '/gone', os.O_CREAT | os.O_RDWR); os.unlink(d + '/gone')
dr = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
p = os.pipe(); pair = socket.socketpair()
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()
c = socket.socket(); c.connect(l.getsockname()); a = l.accept()[0]
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', 0))
n = socket.socket(socket.AF_UNIX); n.bind(d + '/s'); n.listen()
six = None
try:
    six = socket.socket(socket.AF_INET6); six.bind(('::1', 0)); six.listen()
except OSError: six = None
e = select.epoll(); m = os.memfd_create('mem'); ev = os.eventfd(0)
z = os.open('/dev/null', os.O_RDONLY)
print('ready', f, x, dr, p[0], pair[0].fileno(), l.fileno(), c.fileno(), a.fileno(), u.fileno(), n.fileno(), e.fileno(), m, ev, z,
      six.fileno() if six else -1, l.getsockname()[1], c.getsockname()[1], u.getsockname()[1], six.getsockname()[1] if six else 0, flush=True)
time.sleep(1000)
"""


@suite.test
def open_files_are_told_by_kind(t):
    process = sleeper(t, str(t.tmp), code=FILES)
    f, x, dr, p, pair, l, c, a, u, n, e, m, ev, z, six, lport, cport, uport, sixport = map(int, process.stdout_text().split()[1:])
    section = data("open_files", process.pid)
    by_fd = {entry["fd"]: entry for entry in section["descriptors"]}
    count = len(os.listdir(f"/proc/{process.pid}/fd"))
    check(section["count"] == count == len(by_fd), section["count"], count)
    check(section["limit"] == resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0], section["limit"])
    kinds = {fd: by_fd[fd]["kind"] for fd in (f, x, dr, p, pair, l, e, m, ev, z)}
    check(list(kinds.values()) == ["file", "file", "directory", "pipe", "socket", "socket", "eventpoll", "memfd", "eventfd", "device"], kinds)
    check(by_fd[f]["target"] == f"{t.tmp}/a file" and by_fd[x]["target"].endswith("/gone (deleted)"), by_fd[f], by_fd[x])
    check(by_fd[l]["socket"] == {"type": "tcp", "state": "listen", "local": f"127.0.0.1:{lport}", "remote": "0.0.0.0:0"}, by_fd[l])
    check(by_fd[c]["socket"] == {"type": "tcp", "state": "established", "local": f"127.0.0.1:{cport}", "remote": f"127.0.0.1:{lport}"}, by_fd[c])
    check(by_fd[a]["socket"]["remote"] == f"127.0.0.1:{cport}", by_fd[a])
    check(by_fd[u]["socket"]["type"] == "udp" and by_fd[u]["socket"]["local"] == f"127.0.0.1:{uport}", by_fd[u])
    check(by_fd[n]["socket"] == {"type": "unix stream", "state": "listen", "path": f"{t.tmp}/s"}, by_fd[n])
    check(by_fd[pair]["socket"]["state"] == "connected", by_fd[pair])
    if six >= 0:
        check(by_fd[six]["socket"]["local"] == f"[::1]:{sixport}", by_fd[six])
    text = raw("open_files", process.pid, "text")
    check(f"  {l} = tcp 127.0.0.1:{lport} (listen)\n" in text and f"  {c} = tcp 127.0.0.1:{cport} -> 127.0.0.1:{lport} (established)\n" in text, text)


@suite.test
def many_open_files_are_counted_and_some_listed(t):
    code = ("import os, time, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))\n"
            "for i in range(3000): os.dup(0)\nprint('ready', flush=True)\ntime.sleep(1000)")
    process = sleeper(t, code=code)
    section = data("open_files", process.pid)
    count = len(os.listdir(f"/proc/{process.pid}/fd"))
    check(section["count"] == count and count > 3000, section["count"], count)
    check(len(section["descriptors"]) == 512 and section["not_listed"] == count - 512, len(section["descriptors"]))
    check(sum(section["kinds"].values()) == count, section["kinds"])


def build_id(path):
    out = subprocess.run(["readelf", "-n", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    found = re.search(r"Build ID: ([0-9a-f]+)", out)
    return found and found.group(1)


@suite.test
def modules_have_their_build_ids(t):
    process = sleeper(t)
    modules = data("modules", process.pid)
    mapped = {line.split(None, 5)[5].strip() for line in open(f"/proc/{process.pid}/maps", encoding="utf-8") if "xp " in line and " /" in line}
    check({module["path"] for module in modules} == mapped | {"[vdso]"}, modules, mapped)
    for module in modules:
        if module["path"].startswith("/"):
            check(module.get("build_id") == build_id(module["path"]), module, build_id(module["path"]))
        check(int(module["start"], 16) < int(module["end"], 16), module)
    check(re.fullmatch("[0-9a-f]{40}", [module for module in modules if module["path"] == "[vdso]"][0]["build_id"]), modules)


@suite.test
def resources_agree_with_psutil(t):
    process = sleeper(t)
    section, other = data("resources", process.pid), psutil.Process(process.pid)
    check(abs(section["memory"]["rss"] - other.memory_info().rss) <= 1 << 20, section["memory"], other.memory_info())
    check(section["memory"]["virtual"] == other.memory_info().vms, section["memory"], other.memory_info())
    check(section["memory"]["rss_peak"] >= section["memory"]["rss"], section["memory"])
    check(abs(section["cpu_seconds"]["user"] - other.cpu_times().user) < 1, section["cpu_seconds"], other.cpu_times())
    check(section["threads"] == other.num_threads() and section["nice"] == other.nice() and section["scheduling"] == "other", section)
    check(section["main_thread_switches"]["voluntary"] == other.num_ctx_switches().voluntary, section)
    if "io" in section:
        check(section["io"]["read"] == other.io_counters().read_chars, section["io"], other.io_counters())


@suite.test
def the_host_is_the_one_we_are_on(_t):
    section = data("host", os.getpid())
    uname = os.uname()
    check(section["name"] == uname.nodename and section["kernel"]["release"] == uname.release and section["kernel"]["machine"] == uname.machine, section)
    check(section["libc"] == f"glibc {platform.libc_ver()[1]}", section["libc"], platform.libc_ver())
    check(section["cpus"] == {"online": os.cpu_count(), "allowed": len(os.sched_getaffinity(0))}, section["cpus"])
    check(section["memory"]["total"] == psutil.virtual_memory().total, section["memory"])
    check(abs(section["uptime_seconds"] - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60, section["uptime_seconds"])


@suite.test
def a_process_that_is_gone_a_zombie_and_a_kernel_thread_get_a_clear_word(t):
    gone = subprocess.Popen(["true"])
    gone.wait()
    for section in ("processes", "limits", "open_files", "modules", "resources"):
        document = whole(section, gone.pid)
        check(outcome(document)["status"] == "failed" and outcome(document)["reason"], section, outcome(document))
    zombie = subprocess.Popen(["true"])
    t.wait(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE, "a zombie")
    process = data("processes", zombie.pid)[0]
    check(process["state"] == "zombie" and process["command"] == [] and "memory" not in process, process)
    check("no memory map" in outcome(whole("modules", zombie.pid))["reason"])
    for section in SECTIONS:
        whole(section, zombie.pid)
    zombie.wait()
    if pathlib.Path("/proc/2/comm").exists() and pathlib.Path("/proc/2/comm").read_text() == "kthreadd\n":
        check(data("processes", 2)[0]["command"] == [], "kthreadd has no command line")
        for section in SECTIONS:
            whole(section, 2)


@suite.test
def a_process_of_somebody_else_is_shown_as_far_as_it_may_be(t):
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    process = sleeper(t)

    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for section in SECTIONS:
        result = subprocess.run([BUILD / "tests/sections/section_dump", section, str(process.pid), "json"], stdout=subprocess.PIPE, check=True,
                                preexec_fn=become_nobody)
        document = validate.validate_json(result.stdout)
        word = outcome(document)
        if section in ("open_files", "modules"):
            check(word["status"] == "failed" and "permission denied" in word["reason"] and "root" in word["next_step"], section, word)
        if section == "processes":
            check(document["processes"][0]["username"] == "root", document)


# ---------------------------------------------------------------------------------------------- made up

STAT_TAIL = "0 0 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {} 4096 10 0 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"


def put(root, path, content):
    where = root / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(content if isinstance(content, bytes) else content.encode())


@suite.test
def circles_and_depths_of_descent_end(t):
    root = t.tmp
    for pid, ppid in [(10, 12), (11, 10), (12, 11), (13, 13), (20, 21), (21, 20), (22, 10)]:
        put(root, f"{pid}/stat", f"{pid} (x) S {ppid} " + STAT_TAIL.format(5))
    for pid in range(100, 160):
        put(root, f"{pid}/stat", f"{pid} (x) S {pid - 1 if pid > 100 else 10} " + STAT_TAIL.format(5))
    document = whole("processes", 10, root)
    check([child["pid"] for child in document["processes"][0]["children"]] == [11, 22, 100], document["processes"][0])
    check([child["pid"] for child in document["processes"][0]["children"][0]["children"]] == [12], document)
    word = outcome(document)
    check(word["status"] == "partial" and word["reason"] == "36 more descendants are not shown", word)
    for pid in (13, 20, 21):
        whole("processes", pid, root)
    put(root, "30/stat", "30 (old) S 1 " + STAT_TAIL.format(100))
    put(root, "31/stat", "31 (older than its parent) S 30 " + STAT_TAIL.format(50))
    check(whole("processes", 30, root)["processes"][0]["children"] == [], "a pid that was used again has no children of its predecessor")


@suite.test
def thousands_of_children_are_bounded_and_counted(t):
    root = t.tmp
    put(root, "1/stat", "1 (x) S 0 " + STAT_TAIL.format(5))
    for pid in range(2, 5002):
        (root / str(pid)).mkdir()
        (root / str(pid) / "stat").write_text(f"{pid} (x) S 1 " + STAT_TAIL.format(5))
    document = whole("processes", 1, root)
    check(len(document["processes"][0]["children"]) == 4095, len(document["processes"][0]["children"]))
    check(outcome(document)["reason"] == "905 more descendants are not shown", outcome(document))


LIES = [b"", b"\n", b"\0" * 5000, b"x" * (2 << 20), b"-1 -1 -1\n" * 1000, b"99999999999999999999999 " * 100, b"\xff\xfe\x1b[31m" * 100,
        b"Max open files            -5 99999999999999999999999999 files\nMax \x1b[31m evil  1  2  x\nMax x\n" * 3,
        b"Uid:\t99999999999\nGid:\nVmRSS:\t-1 kB\nThreads:\t18446744073709551615\n",
        b"5 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 18446744073709551615 21 18446744073709551615 1 1",
        b"0-ffffffffffffffff rwxp 0 0:0 1 /etc/passwd\n1000-2000 r-xp 00000000 00:00 7 /dev/tty\n2000-1000 r-xp 0 0:0 1 /x\n"
        b"3000-4000 r-xp 00000000 00:00 8 /proc/self/mem\n5000-6000 --xp 00000000 00:00 9 /\x1b[31m\xff\n",
        b"0::/../../../../../etc\n4:memory:/" + b"x" * 3000 + b"\n::::\nmemory:memory:memory\n7:memory:\n",
        b"1 1 0:1 / / rw - cgroup cgroup rw,memory\n" + b"a " * 3000 + b"\n1 2 3 4 5 6 - cgroup2 x y\n", b"nan inf -1\n", b"btime 99999999999999999999\nbtime 1\ncpu0"]
FILES_OF_A_PROCESS = ["stat", "status", "cmdline", "environ", "limits", "maps", "cgroup", "io", "oom_score", "oom_score_adj", "net/tcp", "net/tcp6", "net/unix",
                      "net/udp", "fdinfo/3"]


@suite.test
def whatever_the_files_say_the_report_is_valid(t):
    good = {"stat": b"5 (x) S 1 " + STAT_TAIL.format(5).encode(), "status": b"Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nVmRSS:\t1 kB\n"}
    for number, lie in enumerate(LIES):
        root = t.tmp / str(number)
        for name in FILES_OF_A_PROCESS:
            put(root, f"5/{name}", lie)
        for name in ("stat", "meminfo", "uptime", "loadavg", "self/mountinfo", "sys/kernel/random/boot_id"):
            put(root, name, lie)
        (root / "5/fd").mkdir()
        for fd, target in enumerate(["socket:[", "socket:[99999999999999999999]", "pipe:[", "/\x1b[31m", "x" * 3000, "anon_inode:", "socket:[7]"]):
            os.symlink(target, root / f"5/fd/{fd}")
        os.symlink("/nonexistent", root / "5/fd/99999999999999999999")
        (root / "5/fd/evil").mkdir()
        for section in SECTIONS:
            whole(section, 5, root)
        for name, content in good.items():
            put(root, f"5/{name}", content)
        for section in SECTIONS:
            whole(section, 5, root)


@suite.test
def names_with_newlines_and_worse_stay_on_their_line(t):
    put(t.tmp, "5/stat", b"5 (a\nProcess 1 (under 0)\x1b[2J) S 1 " + STAT_TAIL.format(5).encode())
    put(t.tmp, "5/cmdline", b"a\nProcess 1 (under 0) [ run by: root (0), state: evil ]\0\xc3\x28\x1b[2J\0")
    text = raw("processes", 5, "text", t.tmp)
    check(len([line for line in text.splitlines() if line.startswith("Process")]) == 1, text)
    check("\\x0aProcess" in text and "\x1b" not in text, text)


def cgroup_tree(root, files, cgroup, mountinfo):
    put(root, "5/cgroup", cgroup)
    put(root, "self/mountinfo", mountinfo)
    for name, content in files.items():
        put(root, name, content)


@suite.test
def limits_of_a_control_group_are_the_tightest_above_it(t):
    cgroup_tree(t.tmp, {"cg/a/memory.max": "1000000\n", "cg/a/b/memory.max": "max\n", "cg/a/b/c/memory.max": "5000000\n", "cg/a/b/c/memory.current": "77\n",
                        "cg/a/b/c/pids.max": "max\n", "cg/a/pids.max": "12\n", "cg/a/b/c/cpu.max": "150000 100000\n",
                        "cg/a/b/c/memory.events": "low 0\noom 3\noom_kill 2\n", "cg/a/b/c/cpu.stat": "usage_usec 1\nnr_throttled 9\nthrottled_usec 5\n"},
                "0::/a/b/c\n", f"30 20 0:1 / {t.tmp}/cg rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")
    section = data("cgroup", 5, t.tmp)
    check(section["path"] == "/a/b/c", section)
    check(section["memory"] == {"current": 77, "max": 1000000, "oom_kills": 2}, section)
    check(section["cpu"] == {"cpus": 1.5, "quota_us": 150000, "period_us": 100000, "throttled": 9, "throttled_us": 5}, section)
    check(section["pids"] == {"max": 12}, section)


@suite.test
def control_groups_of_version_1_and_of_containers_are_read(t):
    cgroup_tree(t.tmp, {"m/x/memory.limit_in_bytes": "9223372036854771712\n", "m/memory.limit_in_bytes": "4096\n", "m/x/memory.usage_in_bytes": "5\n",
                        "c/cpu.cfs_quota_us": "-1\n", "c/cpu.cfs_period_us": "100000\n"},
                "4:memory:/docker/id/x\n3:cpuacct,cpu:/\n2:pids:/elsewhere\n0::/\n",
                f"30 20 0:1 /docker/id {t.tmp}/m rw - cgroup cgroup rw,memory\n31 20 0:1 / {t.tmp}/c rw shared:1 master:2 - cgroup cgroup rw,cpu,cpuacct\n")
    document = whole("cgroup", 5, t.tmp)
    section = document["cgroup"]
    check(section["memory"] == {"path": "/docker/id/x", "current": 5, "max": 4096}, section)
    check(section["cpu"] == {"path": "/", "quota_us": "unlimited", "period_us": 100000}, section)
    check(section["pids"] == {"path": "/elsewhere"} and section["unified_path"] == "/", section)
    check(outcome(document)["status"] == "partial", outcome(document))


@suite.test
def the_group_nearest_to_its_memory_limit_is_found(t):
    files = {"cg/a/memory.max": "1000000\n", "cg/a/memory.current": "950000\n", "cg/a/memory.stat": "anon 1\ninactive_file 50000\nactive_file 7\n",
             "cg/a/b/memory.max": "max\n", "cg/a/b/memory.current": "900000\n",
             "cg/a/b/c/memory.max": "5000000\n", "cg/a/b/c/memory.current": "800000\n", "cg/a/b/c/memory.events": "low 0\noom 3\noom_kill 2\n"}
    cgroup_tree(t.tmp, files, "0::/a/b/c\n", f"30 20 0:1 / {t.tmp}/cg rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")
    check(raw("cgroup_memory", 5, "text", t.tmp) == "900000 1000000 2\n", raw("cgroup_memory", 5, "text", t.tmp))
    files = {"m/x/memory.limit_in_bytes": "1000\n", "m/x/memory.usage_in_bytes": "990\n", "m/x/memory.stat": "inactive_file 7\ntotal_inactive_file 40\n",
             "m/x/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "m/memory.limit_in_bytes": "9223372036854771712\n",
             "m/memory.usage_in_bytes": "5000\n"}
    cgroup_tree(t.tmp, files, "4:memory:/x\n0::/\n", f"30 20 0:1 / {t.tmp}/m rw - cgroup cgroup rw,memory\n")
    check(raw("cgroup_memory", 5, "text", t.tmp) == "950 1000 1\n", raw("cgroup_memory", 5, "text", t.tmp))
    cgroup_tree(t.tmp, {}, "4:memory:/y\n0::/\n", f"30 20 0:1 / {t.tmp}/m rw - cgroup cgroup rw,memory\n")
    check(raw("cgroup_memory", 5, "text", t.tmp) == "0 0 0\n", "no limit is known")


@suite.test
def one_s_own_control_group_is_found(_t):
    if not pathlib.Path("/proc/self/cgroup").exists():
        raise Skip("no control groups")
    check(whole("cgroup", os.getpid())["report"]["sections"][0]["status"] in ("ok", "partial"))


check(select and socket, "used by the code of the processes under test")
suite.main()
