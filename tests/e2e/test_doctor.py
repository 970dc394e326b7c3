"""gmr doctor: what it says of processes in one plight or another, and that it does them no harm."""
import os
import subprocess
import sys

from common import NOBODY, Skip, check, suite
from puppet import Puppet

PRELUDE = ("import ctypes, os, sys, time\nlibc = ctypes.CDLL(None, use_errno=True)\n"
           "def ready():\n    print('ready', flush=True)\n    time.sleep(1000)\n")


def patient(t, code, **options):
    process = t.spawn([sys.executable, "-c", PRELUDE + code + "\nready()"], **options)
    t.wait(lambda: "ready" in process.stdout_text(), "the process to be ready", alive=process)
    return process


def doctor(t, *arguments, code=0, **options):
    result = t.gmr("doctor", *arguments, **options)
    check(result.returncode == code, f"ended with {result.returncode}, not {code}:", result.stdout, result.stderr)
    for line in result.stdout.splitlines():
        check(line.startswith(("  ok  ", "  note  ", "  missing  ", "           -> ", "This machine", "Process ", "Result: ")), "an odd line:", line)
    return result.stdout


def need_root():
    if os.getuid() != 0:
        raise Skip("needs root")


@suite.test
def the_machine_is_looked_at(t):
    result = t.gmr("doctor")
    check(result.returncode in (0, 1) and "Result: `gmr report PID`" in result.stdout, result.stdout)
    for word in ("tracing was tried on a child", "ptrace_scope", "/proc", "control sockets", os.uname().release):
        check(word in result.stdout, word, "is missing in", result.stdout)


@suite.test
def a_plain_process_can_be_reported(t):
    process = patient(t, "")
    out = doctor(t, process.pid)
    check(f"Result: `gmr report {process.pid}` works: by ptrace, every thread; no sections of its own" in out, out)
    check(process.alive())


@suite.test
def a_process_with_libgmr_says_what_is_armed(t):
    puppet = Puppet(t).setup(service="patient")
    out = doctor(t, puppet.pid)
    check("it carries libgmr" in out and "as patient; armed: signal USR2" in out and "and its own sections" in out, out)


@suite.test
def no_process_a_zombie_and_nonsense_are_told(t):
    gone = subprocess.Popen(["true"])
    t.wait(lambda: " Z " in open(f"/proc/{gone.pid}/stat", encoding="utf-8").read(), "a zombie")
    result = t.gmr("doctor", gone.pid)
    check(result.returncode == 5 and "zombie" in result.stderr, result)
    gone.wait()
    check(t.gmr("doctor", gone.pid).returncode == 3)
    check(t.gmr("doctor", "no-such-name-here").returncode == 3)
    check(t.gmr("doctor", "1", "2").returncode == 2)
    check(t.gmr("doctor", "--help").returncode == 0)


@suite.test
def a_process_of_another_user_is_told(t):
    need_root()
    process = patient(t, "")
    result = t.gmr("doctor", process.pid, user=NOBODY)
    check(result.returncode == 4 and "belongs to another user" in result.stderr and "no CAP_SYS_PTRACE" in result.stdout, result)


@suite.test
def a_process_that_is_not_dumpable_needs_root(t):
    need_root()
    process = patient(t, "libc.prctl(4, 0, 0, 0, 0)", user=NOBODY)
    out = doctor(t, process.pid, user=NOBODY, code=1)
    check("it is not dumpable" in out and "prctl(PR_SET_DUMPABLE, 1)" in out and "would not let us trace" in out and "without stacks" in out, out)
    out = doctor(t, process.pid)
    check("only CAP_SYS_PTRACE may trace it, which we have" in out and "works: by ptrace" in out, out)


@suite.test
def the_tracer_of_a_process_is_named(t):
    process = patient(t, "")
    code = (f"pid = {process.pid}\nif libc.ptrace(0x4206, pid, None, None): sys.exit('seize: %d' % ctypes.get_errno())")
    tracer = patient(t, code)
    out = doctor(t, process.pid, code=1)
    check(f"it is being traced by process {tracer.pid}" in out and "only one tracer" in out, out)
    tracer.stop()
    doctor(t, process.pid)


@suite.test
def a_stopped_process_is_told_and_stays_stopped(t):
    process = patient(t, "")
    t.freeze(process.pid)
    check("it is stopped" in doctor(t, process.pid))
    check(") T " in open(f"/proc/{process.pid}/stat", encoding="utf-8").read())


@suite.test
def a_chroot_and_namespaces_are_told(t):
    need_root()
    jail = t.directory("jail")
    process = patient(t, f"os.chroot({str(jail)!r})")
    check(f"it is in a chroot: {jail}" in doctor(t, process.pid))
    if subprocess.run(["unshare", "-p", "-m", "-f", "true"], check=False).returncode:
        raise Skip("namespaces can't be made here")
    outer = t.spawn(["unshare", "-p", "-m", "-f", "--kill-child", sys.executable, "-c", PRELUDE + "ready()"])
    t.wait(lambda: "ready" in outer.stdout_text(), "the process to be ready", alive=outer)
    inner = int(subprocess.run(["ps", "-o", "pid=", "--ppid", str(outer.pid)], stdout=subprocess.PIPE, text=True, check=True).stdout)
    out = doctor(t, inner)
    check("in a pid namespace of its own, where it is process 1" in out and "in a mount namespace of its own" in out and "works: by ptrace" in out, out)


@suite.test
def what_keeps_the_inspector_of_a_process_from_working_is_told(t):
    need_root()
    puppet = Puppet(t)
    puppet.setup()
    out = doctor(t, puppet.pid)
    check("seccomp" not in out and "missing" not in out, out)


@suite.test
def handlers_taken_away_after_setup_are_told(t):
    puppet = Puppet(t).setup(crash=1)
    out = t.gmr("doctor", puppet.pid).stdout
    check("is not caught any more" not in out and "signal USR2" in out, out)
    puppet("default 12")
    puppet("default 7")
    out = t.gmr("doctor", puppet.pid).stdout
    check("SIGBUS, armed for crash reports, is not caught any more" in out and out.count("is not caught any more") == 1, out)
    check("signal USR2" not in out, out)


@suite.test
def without_the_right_to_trace_the_trial_says_so(t):
    """A seccomp filter that denies ptrace, as containers have had, made with prctl and inherited by gmr."""
    # ld [nr]; jeq ptrace (101 on x86-64, 117 on aarch64) -> errno EPERM; else allow
    number = {"x86_64": 101, "aarch64": 117}.get(os.uname().machine)
    if number is None:
        raise Skip("no number for ptrace here")
    code = f"""
import struct
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *rule) for rule in rules))
class Fprog(ctypes.Structure): _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
libc.prctl(38, 1, 0, 0, 0)
if libc.prctl(22, 2, ctypes.byref(Fprog(len(rules), ctypes.addressof(program)))): sys.exit(77)
os.environ['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0'  # which needs ptrace, too
os.execv({t.build('gmr')!r}, ['gmr', 'doctor'])
"""
    result = subprocess.run([sys.executable, "-c", PRELUDE + code], stdout=subprocess.PIPE, text=True, check=False, timeout=100)
    if result.returncode == 77:
        raise Skip("no seccomp filters here")
    check(result.returncode == 1, result.returncode, result.stdout)
    check("failed: PTRACE_SEIZE: Operation not permitted" in result.stdout and "seccomp" in result.stdout and "can't trace here" in result.stdout, result.stdout)


suite.main()
