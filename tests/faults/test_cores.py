"""The core file and the wait status of a crash that was reported are those of the same crash without gmr."""
import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import Skip, check, suite  # noqa: E402
from puppet import Puppet, whole_reports  # noqa: E402

NT_PRSTATUS, NT_SIGINFO = 1, 0x53494749
RSP, RIP = 19, 16  # places in struct user_regs_struct
SI_USER, SI_TKILL = 0, -6
STEADY = ["setarch", "--addr-no-randomize"]  # the same addresses in both


def needs():
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|") or "/" in pattern:
        raise Skip(f"cores do not go to the current directory here: core_pattern is {pattern}")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 and os.geteuid() != 0:
        raise Skip("the hard limit forbids core files (ulimit -H -c)")
    if not shutil.which("setarch") or not shutil.which("gdb"):
        raise Skip("needs setarch and gdb")
    if os.uname().machine != "x86_64":
        raise Skip("knows the registers of x86-64 alone")


def let_it_dump():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def notes(path):
    """(type, bytes) of each note of a core file."""
    with open(path, "rb") as core:
        header = core.read(64)
        check(header[:4] == b"\x7fELF", "no core file:", path)
        offset, size, count = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
        for index in range(count):
            core.seek(offset + index * size)
            kind, _, at, _, _, length = struct.unpack("<IIQQQQ", core.read(40))
            if kind != 4:
                continue
            core.seek(at)
            data, here = core.read(length), 0
            while here + 12 <= len(data):
                name_size, note_size, note = struct.unpack_from("<III", data, here)
                start = here + 12 + (name_size + 3) // 4 * 4
                yield note, data[start:start + note_size]
                here = start + (note_size + 3) // 4 * 4


class Core:
    """What a core file says of the crash."""

    def __init__(self, path):
        self.path = path
        everything = list(notes(path))
        status = next(data for note, data in everything if note == NT_PRSTATUS)  # the thread that crashed comes first
        info = next(data for note, data in everything if note == NT_SIGINFO)
        self.signal, self.errno, self.code = struct.unpack_from("<iii", info)
        self.current = struct.unpack_from("<h", status, 12)[0]
        self.tid = struct.unpack_from("<i", status, 32)[0]
        self.registers = struct.unpack_from("<27Q", status, 112)
        self.address = struct.unpack_from("<Q", info, 16)[0]
        self.sender = struct.unpack_from("<iI", info, 16)

    def why(self):
        """The siginfo, without what differs from run to run."""
        sent = self.code in (SI_USER, SI_TKILL)
        return self.signal, self.errno, self.code, self.current, self.sender[1] if sent else self.address


def end_of(t, process, directory):
    """Its wait status (core flag and all) and its core."""
    _, status = os.waitpid(process.pid, 0)
    process.popen.returncode = os.waitstatus_to_exitcode(status)
    cores = [path for path in directory.iterdir() if path.name.startswith("core")]
    check(len(cores) == 1, "core files:", cores, f"wait status {status:#x}")
    return status, Core(cores[0])


def puppet_end(t, name, kind, argv=(), **options):
    directory = t.directory(name)
    puppet = Puppet(t, argv=[*argv, *STEADY], cwd=directory, preexec_fn=None if argv else let_it_dump)
    if options:
        puppet.setup_quietly(**options)
    puppet.send(f"crash {kind}")
    status, core = end_of(t, puppet.process, directory)
    return status, core, puppet


def backtraces(program, *cores):
    """gdb's functions of each core's crashed thread, innermost first; one gdb for all."""
    argv = ["gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "set pagination off", program]
    for core in cores:
        argv += ["-ex", f"core-file {core.path}", "-ex", "echo @@@\\n", "-ex", "bt 40", "-ex", "echo @@@\\n"]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "LC_ALL": "C"})
    texts = result.stdout.split("@@@\n")[1::2]
    check(len(texts) == len(cores), result.stdout[-1000:], result.stderr[-1000:])
    return [re.findall(r"^#[0-9]+ +(?:0x[0-9a-f]+ in )?([^\n(]*)", text, re.M) for text in texts]


def same_end(kind, plain, reported, in_main=True):
    (status, core, _), (its_status, its_core, process) = plain, reported
    check(its_status == status, f"{kind}: wait status {its_status:#x}, without gmr {status:#x}")
    check(its_core.why() == core.why(), f"{kind}: siginfo {its_core.why()}, without gmr {core.why()}")
    check(its_core.registers[RIP] == core.registers[RIP], f"{kind}: rip {its_core.registers[RIP]:#x}, without gmr {core.registers[RIP]:#x}")
    if in_main:
        check(its_core.registers[RSP] == core.registers[RSP], f"{kind}: rsp {its_core.registers[RSP]:#x}, without gmr {core.registers[RSP]:#x}")
    reports = whole_reports(process.stderr() if isinstance(process, Puppet) else process.stderr_text())
    check(len(reports) == 1, f"{kind}: {len(reports)} reports")
    check(re.search(rf"^thread = {its_core.tid}$", reports[0], re.M), f"{kind}: the core is of thread {its_core.tid}, the report of another")


def compare(t, program, ends):
    """ends: {kind: (plain, reported)}"""
    cores = [core for pair in ends.values() for _, core, _ in pair]
    traces = backtraces(program, *cores)
    for index, kind in enumerate(ends):
        plain, reported = traces[2 * index:2 * index + 2]
        check(plain and plain == reported, f"{kind}: gdb shows {reported}, without gmr {plain}")
        check(not any(name.startswith("gmr_") for name in reported), kind, reported)


MAIN = ("null", "wild", "noncanonical", "constant", "abort", "assert", "heap", "jump", "divide", "illegal", "trap", "overflow", "in-handler")
THREADS = ("thread", "at-once")


@suite.test
def every_kind_of_crash_leaves_the_same_core(t):
    needs()
    ends = {}
    for kind in MAIN + THREADS:
        ends[kind] = (puppet_end(t, f"{kind}-plain", kind), puppet_end(t, f"{kind}-reported", kind, crash=1))
        same_end(kind, *ends[kind], in_main=kind in MAIN)
    compare(t, t.build("tests/targets/puppet"), ends)


@suite.test
def without_an_inspector_too(t):
    needs()
    ends = {}
    for kind in ("null", "overflow"):
        ends[kind] = (puppet_end(t, f"{kind}-plain", kind), puppet_end(t, f"{kind}-reported", kind, crash=1, inspector="/nonexistent"))
        same_end(kind, *ends[kind])
    compare(t, t.build("tests/targets/puppet"), ends)


@suite.test
def an_unmodified_program_leaves_the_same_core(t):
    needs()
    ends, program = {}, t.build("tests/targets/overflows")
    for kind in ("main", "thread"):
        pair = []
        for run in ([], [t.build("gmr"), "run", "--on-crash", "--"]):
            directory = t.directory(f"{kind}-{len(run)}")
            process = t.spawn([*STEADY, *run, program, kind], stdin=subprocess.PIPE, cwd=directory, preexec_fn=let_it_dump)
            t.wait(lambda p=process: "ready" in p.stdout_text(), "its thread", alive=process)
            process.popen.stdin.write(b"x")
            process.popen.stdin.close()
            pair.append((*end_of(t, process, directory), process))
        ends[kind] = pair
        # Where a stack is overflowed, the address is one of that stack's.
        pair[0][1].address = pair[1][1].address = 0
        check(pair[0][1].registers[RIP] == pair[1][1].registers[RIP])
        same_end(kind, *pair, in_main=False)
    compare(t, program, ends)


@suite.test
def as_process_number_one(t):
    needs()
    if os.geteuid() != 0 or not shutil.which("unshare"):
        raise Skip("needs root and unshare")
    # unshare itself ends as its child does, but leaves no core.
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "prlimit", "--core=unlimited:unlimited"]
    ends = {}
    for kind in ("null", "overflow", "abort"):
        ends[kind] = (puppet_end(t, f"{kind}-plain", kind, unshare), puppet_end(t, f"{kind}-reported", kind, unshare, crash=1))
        same_end(kind, *ends[kind])
    compare(t, t.build("tests/targets/puppet"), ends)


suite.main()
