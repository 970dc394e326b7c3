"""What needs a kernel of 64-bit ARM: ptrace beside gdb, authentication codes and memory tags, signals, a crash, a core. Run in the machine that
tools/check-aarch64 --boot starts."""
import pathlib
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import TIMEOUT, Skip, check, functions, suite  # noqa: E402


def ready(t, name, *arguments, **options):
    process = t.spawn([t.build(name), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    line = process.popen.stdout.readline()
    if line.startswith(b"no memory tags"):
        raise Skip("this processor has no memory tags")
    check(line == b"ready\n", name, "said", line, process.popen.poll(), process.stderr_text()[:2500])
    return process


def by_name(document, name):
    return next(thread for thread in document["threads"] if thread["name"] == name)


OWN = re.compile(r"(main|run|wait_here|start_thread|thread_start|framed_asm|(altstack|inside|nested|aligned|noreturn|framedasm)_\w+)$")


def own(names):
    """The program's own functions and where threads begin: on the way through libc's aliases each tool chooses its own name."""
    return [name for name in names if OWN.match(name)]


def gdb_stacks(pid):
    """Functions by thread id as gdb has them."""
    text = subprocess.run(["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "set backtrace limit 60", "-ex", "thread apply all bt"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT * 2, encoding="utf-8", errors="replace", check=False).stdout
    stacks = {}
    for part in re.split(r"^Thread \d+ \(", text, flags=re.M)[1:]:
        tid = re.search(r"LWP (\d+)|process (\d+)", part)
        stacks[int(tid.group(1) or tid.group(2))] = re.findall(r"^#\d+ +(?:0x[0-9a-f]+ (?:\[PAC\] )?in )?(<signal handler called>|[^\s(]+)", part, flags=re.M)
    return stacks, text


def beside_gdb(t, name):
    if not shutil.which("gdb"):
        raise Skip("there is no gdb")
    process = ready(t, name)
    innermost = {"altstack": "altstack_inner", "nested": "nested_inner", "aligned": "aligned_inner", "noreturn": "noreturn_inner", "framedasm": "framedasm_inner"}

    def arrived():
        document = t.report(process.pid, "--max-frames", "60", codes=(0, 1))
        return all(innermost[thread["name"]] in functions(document, thread) for thread in document["threads"] if thread["name"] in innermost)
    t.wait(arrived, "the threads to be in place", alive=process)
    t.freeze(process.pid)
    document = t.report(process.pid, "--max-frames", "60", codes=(0, 1))
    stacks, text = gdb_stacks(process.pid)
    compared = 0
    for thread in document["threads"]:
        if thread["name"] in ("deep", "leafasm", "jit", "null"):
            continue  # cut at 60 frames by each tool in its own way; in code that gdb can't unwind
        mine, theirs = own(functions(document, thread)), own(stacks.get(thread["id"], []))
        check(mine == theirs and mine, thread["name"], mine, "gdb has", theirs, text[-1500:])
        compared += 1
    check(compared >= 6, "threads compared:", compared)


@suite.test
def threads_beside_gdb(t):
    beside_gdb(t, "tests/engine/shapes-O2")


@suite.test
def threads_beside_gdb_unoptimised(t):
    beside_gdb(t, "tests/engine/shapes-O0")


@suite.test
def return_addresses_with_authentication_codes(t):
    beside_gdb(t, "tests/aarch64/shapes-pac")


@suite.test
def stacks_in_tagged_memory(t):
    process = ready(t, "tests/aarch64/tagged")
    t.wait(lambda: "tagged_inner" in functions(d := t.report(process.pid, codes=(0, 1)), by_name(d, "on tagged stack")), "the thread", alive=process)
    document = t.report(process.pid)
    thread = by_name(document, "on tagged stack")
    names = functions(document, thread)
    check(names[-5:-1] == ["tagged_inner", "tagged_outer", "run", "start_thread"], names, document["stacks"][thread["stack"]])
    green, = document["green_threads"]
    names = functions(document, green)
    check(names[-2:] == ["green_inner", "green_outer"] or "green_outer" in names, names, green, document["stacks"][green["stack"]])


@suite.test
def a_signal_asks_for_a_report(t):
    process = ready(t, "tests/aarch64/tagged")
    process.kill(signal.SIGUSR2)
    t.wait(lambda: "End of Guru Meditation" in process.stderr_text(), "the report", alive=process)
    text = process.stderr_text()
    check("tagged_outer" in text and "green_outer" in text, text)


@suite.test
def a_report_by_signals(t):
    process = ready(t, "tests/aarch64/tagged", env=t.environment(GMR_INSPECTOR="/none"))
    process.kill(signal.SIGUSR2)
    t.wait(lambda: "End of Guru Meditation" in process.stderr_text(), "the report", alive=process)
    # Dynamic symbols only: the three functions of the program are addresses.
    check(re.search(r"in pause\+.*\n(in 0x\w+ \[tagged\+.*\n){3}", process.stderr_text()), process.stderr_text())


@suite.test
def a_tag_that_does_not_match_is_a_crash_report(t):
    process = ready(t, "tests/aarch64/tagged", "crash")
    process.popen.stdin.close()
    process.popen.wait(TIMEOUT)
    text = process.stderr_text()
    check(process.popen.returncode == -signal.SIGSEGV, process.popen.returncode, text[-2000:])
    check("SIGSEGV" in text and "End of Guru Meditation" in text and re.search(r"\bcrash\b", text), text[:3000])
    check("tag" in text.lower(), "the tag check is not named", text[:3000])


if __name__ == "__main__":
    suite.main()
