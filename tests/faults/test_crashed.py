"""Crashes: a report with the reason, and then exactly the end that the program would have had without gmr."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import Skip, check, functions, suite  # noqa: E402
from puppet import BEGIN, END, Puppet, section, whole_reports  # noqa: E402


def ends_as(t, puppet, kind):
    puppet.send(f"crash {kind}")
    t.wait(lambda: not puppet.process.alive(), f"the end by {kind}")
    return puppet.process.popen.returncode


def crash(t, kind, *commands, **options):
    """The one report of a crash; its end is the same as without gmr."""
    plain = Puppet(t, *[c for c in commands if not c.startswith("set inspector")])
    expected = ends_as(t, plain, kind)
    puppet = Puppet(t, *commands, "register Mine plain").setup(crash=1, **options)
    check(puppet("armed") & 8)
    ended = ends_as(t, puppet, kind)
    reports = puppet.reports()
    check(ended == expected, f"{kind} ended with {ended}, without gmr with {expected}:", puppet.stderr()[-500:])
    check(len(reports) == 1, f"{kind}: {len(reports)} reports:", puppet.stderr()[-2000:])
    check("Mine" not in re.findall(r"^====\s+(.*?)\s+====$", reports[0], re.M), "code of the program's was run")
    threads = section(reports[0], "Threads")
    check(f"Thread #{puppet.pid}" in threads, threads[:500])
    crashed_first(reports[0])
    names = re.findall(r"------\n([^,\n]*), ", threads)
    ours = [name.startswith("gmr-") for name in names]
    check(ours == sorted(ours) and any(ours), "the program's own threads do not come first:", names)
    return reports[0]


def crashed_first(report):
    """The thread that crashed comes before all others, and its stack begins with the crash."""
    tid = re.search(r"^thread = ([0-9]+)$", section(report, "Crash"), re.M).group(1)
    first = section(report, "Threads").split("\n------ ")[0]
    check(f"Thread #{tid} " in first and ", crashed\n" in first, first)
    check("gmr__" not in first and "signal handler called" not in first.split("\n", 5)[4], first)
    check(section(report, "Threads").count(f"Thread #{tid} ") == 1, "the crashed thread is there twice")


KINDS = {
    "null": ("SIGSEGV", "a null pointer"),
    "wild": ("SIGSEGV", "nothing is mapped there"),
    "noncanonical": ("SIGSEGV", "no pointer can have"),
    "constant": ("SIGSEGV", "in read-only memory of .*/puppet"),
    "abort": ("SIGABRT", "raised by the program itself"),
    "assert": ("SIGABRT", "message = .*this can't be"),
    "heap": ("SIGABRT", "message = "),
    "jump": ("SIGSEGV", "a null pointer, which the program called"),
    "divide": ("SIGFPE", "division by zero"),
    "illegal": ("SIGILL", "illegal operand|illegal instruction"),
    "trap": ("SIGTRAP", "raised by the program"),
    "overflow": ("SIGSEGV", "stack guard of thread [0-9]+: its stack has overflowed"),
    "thread": ("SIGSEGV", "a null pointer"),
    "thread-overflow": ("SIGSEGV", "stack guard of thread [0-9]+: its stack has overflowed"),
    "in-handler": ("SIGSEGV", "a null pointer"),
    "at-once": ("SIGSEGV", "a null pointer"),
}


def check_kind(report, kind):
    name, reason = KINDS[kind]
    body = section(report, "Crash")
    check(f"signal_name = {name}" in body, kind, body)
    check(re.search(reason, body), kind, "is not told as", reason, "in", body)
    check(f"crash: {name} in thread" in report)
    check(len(re.findall(r"^  in ", body, re.M)) >= 2, "no stack in", body)


@suite.test
def every_kind_of_crash_is_reported_and_ends_as_it_would_have(t):
    for kind in KINDS:
        check_kind(crash(t, kind), kind)


@suite.test
def without_an_inspector_too(t):
    for kind in ("null", "overflow", "heap", "at-once", "jump"):
        report = crash(t, kind, "set inspector /nonexistent")
        check_kind(report, kind)


@suite.test
def the_report_in_json_is_valid(t):
    puppet = Puppet(t, "threads 2").setup(crash=1, view=2)
    check(ends_as(t, puppet, "null") == -signal.SIGSEGV)
    document = t.valid_json(puppet.stderr())
    check(any(re.fullmatch(r"0x[0-9a-f]+-0x[0-9a-f]+ r-xp 0x[0-9a-f]+ .*/puppet", line) for line in document["memory_map"]), document["memory_map"])
    check(document["crash"]["signal_name"] == "SIGSEGV" and document["crash"]["registers"], document["crash"])
    check([thread.get("crashed") for thread in document["threads"]] == [True] + [None] * (len(document["threads"]) - 1), document["threads"])
    check(functions(document, document["threads"][0])[0] == "at_null", functions(document, document["threads"][0]))
    stored = t.tmp / "crash.json"
    stored.write_text(puppet.stderr())
    shown = t.gmr("show", stored).stdout
    check("/puppet" in section(shown, "Memory Map") and ", crashed\n" in section(shown, "Threads"), shown)
    puppet = Puppet(t, "threads 2", "set inspector /nonexistent").setup(crash=1, view=3)
    check(ends_as(t, puppet, "null") == -signal.SIGSEGV)
    t.valid_xml(puppet.stderr())


@suite.test
def a_crash_while_another_report_runs(t):
    puppet = Puppet(t, "register Hangs hangs").setup(crash=1, section_timeout_ms=300)
    puppet.signal()
    puppet.send("crash null")
    t.wait(lambda: not puppet.process.alive(), "the end")
    check(puppet.process.popen.returncode == -signal.SIGSEGV)
    reports = puppet.reports()
    check(" Crash " in reports[-1], len(reports))


@suite.test
def a_handler_of_the_programs_own_is_chained(t):
    puppet = Puppet(t, "own-handler").setup(crash=1)
    check(ends_as(t, puppet, "null") == 42)
    check(len(puppet.reports()) == 1)
    check(puppet.line() == "own handler")


@suite.test
def a_generator_that_crashes_costs_its_section_only(t):
    for armed in (1, 2):
        puppet = Puppet(t, "register Crashes crashes", "register Recurses recurses", "register Last plain").setup(crash=armed)
        report = puppet.report()
        for title in ("Crashes", "Recurses"):
            body = section(report, title)
            check("its generator crashed (SIGSEGV)" in body and "before = kept" in body and "crashed in" in body, body[-600:])
        check("answer = 42" in section(report, "Last"))
        report = puppet.report()
        check("answer = 42" in section(report, "Last"))
        check("still running since" in section(report, "Crashes"), section(report, "Crashes"))
        check(puppet.process.alive())


@suite.test
def without_the_option_nothing_is_armed(t):
    puppet = Puppet(t).setup()
    check(puppet("armed") & 8 == 0)
    check(ends_as(t, puppet, "null") == -signal.SIGSEGV)
    check(BEGIN not in puppet.stderr())


class Overflows:
    """A program that knows nothing of gmr, whose stack overflows when it is told to go."""

    def __init__(self, t, kind, *options, fence=()):
        run = [*fence, t.build("gmr"), "run", *options, "--"] if options else []
        self.process = t.spawn([*run, t.build("tests/targets/overflows"), kind], stdin=subprocess.PIPE)
        t.cleanup(self.process.popen.stdin.close)
        t.wait(lambda: "ready" in self.process.stdout_text(), "its thread", alive=self.process)
        self.t, self.pid = t, self.process.pid

    def mappings(self):
        return len(pathlib.Path(f"/proc/{self.pid}/maps").read_text().splitlines())

    def go(self):
        self.process.popen.stdin.write(b"x")
        self.process.popen.stdin.flush()
        self.t.wait(lambda: not self.process.alive(), "the end")
        return self.process.popen.returncode


@suite.test
def any_thread_of_an_unmodified_program_may_overflow_its_stack(t):
    for kind in ("main", "thread", "c11", "small", "many"):
        check(Overflows(t, kind).go() == -signal.SIGSEGV)
        program = Overflows(t, kind, "--on-crash")
        check(program.go() == -signal.SIGSEGV)
        reports = whole_reports(program.process.stderr_text())
        check(len(reports) == 1, kind, program.process.stderr_text()[-2000:])
        body = section(reports[0], "Crash")
        check(re.search("stack guard of thread [0-9]+: its stack has overflowed", body), kind, body)
    # Nothing of ours stands between a thread and where it starts.
    other = [stack for stack in section(reports[0], "Threads").split("\n------") if " in stand+" in stack]
    check(len(other) == 1 and "start_thread" in other[0] and "libgmr-preload" not in other[0], other)


@suite.test
def a_recursion_is_shown_once(t):
    # By the inspector, and where there can't be one; in a stored report, too, which keeps every frame.
    fence = [t.build("tests/targets/fence"), "1", "ptrace", "--"]
    for kind, names, behind in (("main", ["recurse"], ()), ("mutual", ["ping", "pong"], ()), ("main", ["recurse"], fence), ("mutual", ["ping", "pong"], fence)):
        program = Overflows(t, kind, "--on-crash", fence=behind)
        check(program.go() == -signal.SIGSEGV)
        first = section(whole_reports(program.process.stderr_text())[0], "Threads").split("\n------")[0]
        note = re.search(r"\(\.\.\. ([0-9]+) more of the same (2 )?frames? ?\.\.\.\)", first)
        check(note and int(note.group(1)) > 100, kind, behind, first[:3000])
        shown = len(re.findall(r"(?m) in (?:recurse|ping|pong)\+|\[overflows", first))
        check(shown < 30, kind, behind, first[:3000])
        check(behind or all(f" in {name}+" in first for name in names), kind, first[:3000])
    program = Overflows(t, "mutual", "--on-crash", "--format", "json")
    check(program.go() == -signal.SIGSEGV)
    text = program.process.stderr_text()
    (t.tmp / "report.json").write_text(text[text.index('{"schema"'):])
    document = t.valid_json((t.tmp / "report.json").read_text())
    crashed = next(thread for thread in document["threads"] if thread.get("crashed"))
    frames = document["stacks"][crashed["stack"]]["frames"]
    check(sum(frame.get("function") in ("ping", "pong") for frame in frames) > 500, len(frames))
    shown = t.gmr("show", t.tmp / "report.json")
    check(shown.returncode == 0 and "more of the same 2 frames ...)" in shown.stdout, shown)


@suite.test
def threads_that_ended_leave_no_stacks_behind(t):
    plain, program = Overflows(t, "many"), Overflows(t, "many", "--on-crash")
    check(program.mappings() < plain.mappings() + 100, program.mappings(), plain.mappings())


@suite.test
def a_thread_keeps_the_alternative_stack_it_has_chosen(t):
    check(Overflows(t, "own").go() == 42)
    program = Overflows(t, "own", "--on-crash")
    check(program.go() == 42, program.process.stderr_text())


@suite.test
def as_process_number_one(t):
    if os.geteuid() != 0 or not shutil.which("unshare"):
        raise Skip("needs root and unshare")
    puppet = Puppet(t, argv=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]).setup_quietly(crash=1)
    check(puppet("armed") & 8)
    puppet.send("crash null")
    t.wait(lambda: not puppet.process.alive(), "the end")
    text = puppet.stderr()
    check(END in text and "signal_name = SIGSEGV" in text, text[-500:])


suite.main()
