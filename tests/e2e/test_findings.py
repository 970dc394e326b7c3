#!/usr/bin/python3
"""The Findings section: what is true of a process stands before its threads, what isn't doesn't, and a stored report shows the same."""
import os
import re
import shutil
import subprocess
import sys

from common import check, suite

PYTHON = "/usr/bin/python3"
# Every test's process may belong to a control group short of memory, which is not what these tests are about.
SURROUNDINGS = {"cgroup_memory", "oom_kills"}


def start(t, code, argv=(PYTHON,), **options):
    process = t.spawn([*argv, "-c", code + "\nprint('ready', flush=True)\nimport time\ntime.sleep(1000)"], **options)
    t.wait(lambda: "ready" in process.stdout_text(), "the process to be ready", alive=process)
    return process


def findings(t, process, *options):
    """{kind: text}"""
    document = t.report(process.pid, *options, codes=(0, 1))
    found = document.get("findings", [])
    check(len({finding["kind"] for finding in found}) == len(found), found)
    return {finding["kind"]: finding["text"] for finding in found if finding["kind"] not in SURROUNDINGS}


def files_open(t, count, limit):
    return start(t, f"""
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
kept = []
while len(os.listdir("/proc/self/fd")) - 1 < {count}:  # without the one that lists
    kept.append(os.dup(0))
""" if count < limit else f"""
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
try:
    while True:
        os.dup(0)
except OSError:
    pass
""")


@suite.test
def nothing_is_found_where_nothing_is_wrong(t):
    process = start(t, "")
    check(findings(t, process) == {}, findings(t, process))
    document = t.report(process.pid)
    check(SURROUNDINGS & {f["kind"] for f in document.get("findings", [])} or "findings" not in document, document.get("findings"))
    check(("findings" in document) == ("Findings" in t.gmr("report", process.pid).stdout), "text and JSON differ")


@suite.test
def open_files_near_the_limit(t):
    check(findings(t, files_open(t, 40, 64)) == {}, "40 of 64 are not many")
    found = findings(t, files_open(t, 61, 64))
    check(found == {"open_files": "61 files are open, and the limit is 64: opening more will soon fail (EMFILE)"}, found)
    found = findings(t, files_open(t, 64, 64))
    check(found == {"open_files": "64 files are open, and the limit is 64: opening another one fails (EMFILE)"}, found)


@suite.test
def a_deleted_executable(t):
    program = t.tmp / "program"
    shutil.copy2("/usr/bin/sleep", program)
    process = t.spawn([program, "1000"])
    t.wait(lambda: os.readlink(f"/proc/{process.pid}/exe") == str(program), "it to run")
    check("executable_deleted" not in findings(t, process), "it is still there")
    program.unlink()
    found = findings(t, process)
    check(found == {"executable_deleted": f"the executable was deleted or replaced since the process began: {program}"}, found)


@suite.test
def what_very_many_threads_do(t):
    code = """
import select, threading, time, sys
def polls():
    poll = select.epoll()
    poll.poll()
for _ in range({polls}):
    threading.Thread(target=polls, daemon=True).start()
for _ in range({sleeps}):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""
    few = start(t, code.format(polls=10, sleeps=5))
    check("threads" not in findings(t, few), findings(t, few))
    many = start(t, code.format(polls=40, sleeps=5))
    want = r"46 threads: 40 in epoll_p?wait; 6 in clock_nanosleep"
    t.wait(lambda: re.fullmatch(want, findings(t, many).get("threads", "")), want, alive=many)
    text = t.gmr("report", many.pid).stdout
    check(re.search(f" Package .* Findings .*^{want}$.* Threads ", text, re.S | re.M), text[:2000])
    same = start(t, "import threading, time\nfor _ in range(35):\n    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()")
    t.wait(lambda: findings(t, same) == {"threads": "36 threads do the same: 36 in clock_nanosleep"}, "all to sleep", alive=same)


@suite.test
def a_mutex_that_very_many_wait_for(t):
    process = start(t, """
import ctypes, threading
libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
for _ in range(40):
    threading.Thread(target=libc.pthread_mutex_lock, args=(mutex,), daemon=True).start()
""")
    want = rf"41 threads: 40 wait for the mutex at 0x[0-9a-f]+, held by #{process.pid}; 1 in clock_nanosleep"
    t.wait(lambda: re.fullmatch(want, findings(t, process).get("threads", "")), want, alive=process)


@suite.test
def a_stopped_process(t):
    process = start(t, "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()")
    check("stopped" not in findings(t, process), "it runs")
    t.freeze(process.pid)
    found = findings(t, process)
    check(list(found) == ["stopped"], found)


@suite.test
def who_traces_it(t):
    process = start(t, "")
    tracer = start(t, f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(0x4206, {process.pid}, None, None):
    raise OSError(ctypes.get_errno(), "PTRACE_SEIZE")
open("/proc/self/comm", "w").write("a(\\x1b) tracer")
""")
    found = findings(t, process)
    check(found == {"traced": f"it is traced by process {tracer.pid} (a(\\x1b) tracer)"}, found)
    tracer.stop()
    check(findings(t, process) == {}, findings(t, process))


@suite.test
def only_where_it_is_wanted(t):
    process = files_open(t, 64, 64)
    check("findings" not in t.report(process.pid, "--sections", "limits,threads"), "it was not asked for")
    document = t.report(process.pid, "--sections", "findings")
    check(set(document) == {"schema", "findings", "report"}, list(document))
    check(document["report"]["sections"] == [{"name": "findings", "status": "ok"}], document["report"])


@suite.test
def a_stored_report_shows_the_same(t):
    process = files_open(t, 64, 64)
    t.freeze(process.pid)
    path = t.tmp / "report.json"
    t.gmr("report", process.pid, "--format", "json", "-o", path)
    banner = "=" * 72 + "\n"
    t.freeze(process.pid)  # let go by the capture, it runs for a moment
    parts = [re.search(rf"{banner}[^\n]* Findings [^\n]*\n{banner}(.*?\n){banner}", text, re.S).group(1)
             for text in (t.gmr("show", path).stdout, t.gmr("report", process.pid).stdout)]
    check(parts[0] == parts[1] and "EMFILE" in parts[0] and "SIGCONT" in parts[0], parts)
    t.valid_xml(t.gmr("show", "--format", "xml", path).stdout)
    result = subprocess.run([t.build("gmr"), "scrub", path], stdout=subprocess.PIPE, check=True, timeout=100)
    t.valid_json(result.stdout.decode())


@suite.test
def a_report_of_libgmr_s_has_them_too(t):
    limit = 64
    code = f"import os, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
    process = t.spawn([t.build("gmr"), "run", "--", sys.executable, "-c",
                       code + "print('ready', flush=True)\nimport time\nwhile True:\n    try:\n        os.dup(0)\n    except OSError:\n        time.sleep(0.01)"])
    t.wait(lambda: "ready" in process.stdout_text(), "the process to be ready", alive=process)
    t.wait(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) >= limit, "all descriptors to be in use", alive=process)
    result = t.gmr("trigger", process.pid)
    check(result.returncode == 0, result.stderr)
    t.wait(lambda: "End of Guru Meditation" in process.stderr_text(), "the report", alive=process)
    text = process.stderr_text()
    check(f"the limit is {limit}: opening another one fails (EMFILE)\n" in text, text[:3000])
    check(text.index(" Package ") < text.index("EMFILE") < text.index(" Threads "), text[:3000])


suite.main()
