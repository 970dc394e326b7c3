"""Fibers discovered in memory: exactly those that there are, in programs that know nothing of gmr."""
import collections
import json
import os
import shutil
import socket
import struct
import subprocess

from common import BUILD, Skip, check, suite
from source import HERE, run


def build(t, source, *options):
    if not shutil.which("g++"):
        raise Skip("there is no g++")
    program = t.tmp / "fibers"
    result = subprocess.run(["g++", "-O2", "-g", HERE / source, "-o", program, *options], capture_output=True, text=True,
                            timeout=240, check=False)
    if "boost" in result.stderr and "No such file" in result.stderr:
        raise Skip("there is no Boost.Context (libboost-context-dev)")
    check(result.returncode == 0, result.stderr)
    return program


def sleeps(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "S"


def start(t, program, *arguments):
    process = t.spawn([program, *arguments])
    t.wait(lambda: "ready" in process.stdout_text(), "the fibers to stand", alive=process)
    # "ready" comes right before pause(): until it sleeps, main's own frames still move.
    if "go" not in arguments:
        t.wait(lambda: sleeps(process.pid), "the program to sleep")
    return process


@suite.test
def a_thousand_fibers_after_two_hundred_thousand_switches(t):
    program = build(t, "fibers.cpp", "-lboost_context")
    for count, switches in ((1000, 200000), (1000, 0), (1, 5), (37, 1000), (3000, 1000000)):
        process = start(t, program, count, switches)
        stacks, notes = run(t, process.pid, "scan")
        check(notes == "", notes)
        check(len(stacks) == count, f"{len(stacks)} fibers of {count} after {switches} switches")
        check({s.kind for s in stacks} == {"Boost.Context fiber"})
        process.stop()


def whole_scan(t, process):
    """What was found while the process switches; again when the stop's time did not last, as it may not on a loaded machine."""
    def scan():
        stacks, notes = run(t, process.pid, "scan")
        check(notes == "" or "the time for the stop was used up" in notes, notes)
        return None if notes else stacks
    return t.wait(scan, "a scan within the stop's time")


@suite.test
def fibers_that_go_on_switching(t):
    program = build(t, "fibers.cpp", "-lboost_context")
    process = start(t, program, 1000, 200000, "go")
    for _ in range(10):
        stacks = [s for s in whole_scan(t, process) if s.fields["name"] != "leader"]
        running = [s for s in stacks if s.fields["state"] == "2"]
        check(len(stacks) == 1000 and len(running) <= 1, len(stacks), len(running))


@suite.test
def a_function_that_jumps_to_the_switch_is_one(t):
    program = build(t, "fibers_jump.cpp", "-lboost_context")
    stacks, notes = run(t, start(t, program, 100).pid, "scan")
    check(notes == "" and len(stacks) == 100, len(stacks), notes)


def interpreted(t, name, script, *command):
    """An interpreter of Debian's with fibers of its own, 50 of them suspended."""
    if not shutil.which(command[0]):
        raise Skip(f"there is no {command[0]}")
    (t.tmp / name).write_text(script)
    process = t.spawn([*command, name])
    t.wait(lambda: "ready" in process.stdout_text(), "the fibers to stand", alive=process)
    t.wait(lambda: sleeps(process.pid), "the program to sleep")
    return t.report(process.pid)


def check_interpreted(document, kind, outermost):
    green = document["green_threads"]
    check(len(green) == 50 and {x["kind"] for x in green} == {kind}, len(green), green[:2])
    for thread in green:
        check(thread["discovered"] is True and thread["state"] == "suspended", thread)
        functions = [frame.get("function") for frame in document["stacks"][thread["stack"]]["frames"]]
        check(len(functions) > 5 and (outermost is None or outermost in functions), functions)


@suite.test
def fibers_of_ruby(t):
    document = interpreted(t, "fibers.rb", """
def deep(n) n > 0 ? deep(n - 1) : Fiber.yield end
$fibers = (1..50).map { |i| Fiber.new { loop { deep(i % 7) } } }
$fibers.each(&:resume)
2000.times { $fibers.sample.resume }
puts 'ready'; $stdout.flush
sleep
""", "ruby")
    check_interpreted(document, "Ruby fiber", "rb_vm_exec")


@suite.test
def queries_that_a_name_server_waits_for(t):
    """Debian's pdns-recursor has a fiber of Boost.Context for each query that is on its way to other servers: here one that never answers."""
    if not shutil.which("pdns_recursor", path="/usr/sbin:" + os.environ["PATH"]):
        raise Skip("there is no pdns_recursor (pdns-recursor)")
    silent, client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    t.cleanup(silent.close)
    t.cleanup(client.close)
    silent.bind(("127.0.0.1", 0))
    port = t.free_port()
    process = t.spawn(["/usr/sbin/pdns_recursor", f"--config-dir={t.tmp}", f"--socket-dir={t.tmp}", "--local-address=127.0.0.1", f"--local-port={port}",
                       "--daemon=no", f"--forward-zones-recurse=example=127.0.0.1:{silent.getsockname()[1]}", "--dnssec=off", "--setuid=", "--setgid=",
                       "--threads=2", "--security-poll-suffix=", "--network-timeout=600000"])
    t.wait(lambda: "Enabled multiplexer" in process.stderr_text(), "the server to serve", alive=process)
    for number in range(1, 18):
        name = b"query%d" % number
        client.sendto(struct.pack(">6H", number, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b"\7example\0" + struct.pack(">2H", 1, 1),
                      ("127.0.0.1", port))
        check(name in silent.recv(512))

    def waiting():
        # Its Lua is LuaJIT: that is said, and makes the report partial.
        green = t.report(process.pid, codes=(0, 1))["green_threads"]
        check(all(x["kind"] == "Boost.Context fiber" and x["discovered"] for x in green), green)
        return collections.Counter(x["stack"] for x in green if x["state"] == "suspended").most_common(1)[0][1] == 17 if green else False
    t.wait(waiting, "17 queries at the same place", alive=process)


@suite.test
def coroutines_of_perl(t):
    """Coro gives a C stack only to those that are in C: here in a sort's comparison."""
    if subprocess.run(["perl", "-MCoro", "-e", "1"], capture_output=True, check=False).returncode != 0:
        raise Skip("there is no Coro (libcoro-perl)")
    document = interpreted(t, "fibers.pl", """
use Coro;
my @all = map { async { my @x = sort { Coro::schedule; $a <=> $b } 1, 2; } } 1 .. 50;
cede for 1 .. 3;
$| = 1; print "ready\n";
sleep 10000;
""", "perl")
    green = [x for x in document["green_threads"] if "Perl_pp_sort" in
             [frame.get("function") for frame in document["stacks"][x["stack"]]["frames"]]]
    check(len(green) == 50 and {x["kind"] for x in document["green_threads"]} == {"libcoro coroutine"}, len(green),
          len(document["green_threads"]))


def jumping(t, *arguments):
    program = t.tmp / "coroutines"
    result = subprocess.run(["gcc", "-O1", "-g", "-fno-optimize-sibling-calls", "-pthread", "-U_FORTIFY_SOURCE", HERE / "coroutines_jump.c", "-o", program],
                            capture_output=True, text=True, timeout=240, check=False)
    check(result.returncode == 0, result.stderr)
    return start(t, program, *arguments)


@suite.test
def coroutines_that_switch_by_setjmp(t):
    """Those that wait, however their stacks were entered; none that ended, no jmp_buf that is there for errors, nor a thread's."""
    for way in ("makecontext", "sigaltstack"):
        for count, turns in ((1000, 200000), (10, 0), (300, 7)):
            process = jumping(t, count, turns, way)
            stacks = whole_scan(t, process)
            check(len(stacks) == count, f"{len(stacks)} coroutines of {count} after {turns} turns, {way}")
            check({s.kind for s in stacks} == {"setjmp coroutine"})
            process.stop()


@suite.test
def coroutines_that_go_on_switching_by_setjmp(t):
    process = jumping(t, 1000, 5000, "makecontext", "go")
    for _ in range(10):
        stacks = whole_scan(t, process)
        running = [s for s in stacks if s.fields["state"] == "2"]
        check(len(stacks) == 1000 and len(running) <= 1, len(stacks), len(running))


@suite.test
def coroutines_that_switch_by_setjmp_have_their_stacks(t):
    process = jumping(t, 200, 5000, "makecontext")
    def whole():
        document = t.report(process.pid, codes=(0, 1))
        return document if document["report"]["status"] == "complete" else None
    document = t.wait(whole, "a whole report")
    check(len(document["green_threads"]) == 200, len(document["green_threads"]))
    for thread in document["green_threads"]:
        names = [frame.get("function") for frame in document["stacks"][thread["stack"]]["frames"]]
        deep = names.count("descend")
        check(names[0] in ("yield_here", "yield_below") and names[1:deep + 1] == ["descend"] * deep and deep <= 20, names)
        check(names[deep + 1:deep + 3] == ["body", "enter"], names)


@suite.test
def a_program_that_catches_errors_by_setjmp_has_no_coroutines(t):
    (t.tmp / "catch.c").write_text("""
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static jmp_buf error;
int main(void)
{
    static char alternate[65536];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    sigaltstack(&stack, NULL);
    if (setjmp(error) == 0)
        longjmp(error, 1);
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
""")
    result = subprocess.run(["gcc", "-O1", t.tmp / "catch.c", "-o", t.tmp / "catch"], capture_output=True, text=True, timeout=240, check=False)
    check(result.returncode == 0, result.stderr)
    stacks, notes = run(t, start(t, t.tmp / "catch").pid, "scan")
    check(not stacks and not notes, stacks, notes)


@suite.test
def a_function_that_jumps_to_swapcontext_is_one(t):
    """Through a slot, without the procedure linkage table; and one that never switched since it was made runs."""
    (t.tmp / "tail.c").write_text("""
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>
static ucontext_t home, *all[50];
static int current;
__attribute__((noinline)) static int go(ucontext_t *to, ucontext_t *from) { return swapcontext(from, to); }
static void waits(void) { for (;;) { go(&home, all[current]); __asm__ volatile("" ::: "memory"); } }
static void runs(void) { puts("ready"); fflush(stdout); for (;;) pause(); }
static ucontext_t *make(void (*entry)(void))
{
    ucontext_t *context = calloc(1, sizeof(*context));
    getcontext(context);
    context->uc_stack.ss_sp = malloc(16384);
    context->uc_stack.ss_size = 16384;
    makecontext(context, entry, 0);
    return context;
}
int main(void)
{
    for (current = 0; current < 50; current++) {
        all[current] = make(waits);
        go(all[current], &home);
    }
    go(make(runs), &home);
    return 1;
}
""")
    result = subprocess.run(["gcc", "-O2", "-g", "-fno-plt", t.tmp / "tail.c", "-o", t.tmp / "tail"], capture_output=True, text=True, timeout=240,
                            check=False)
    check(result.returncode == 0, result.stderr)
    stacks = whole_scan(t, start(t, t.tmp / "tail"))
    running = [s for s in stacks if s.fields["state"] == "2"]
    check(len(stacks) == 51 and len(running) == 1, len(stacks), len(running))


@suite.test
def ucontexts(t):
    """Those that wait, and the one that runs since it was made: none that returned, nor one that was on a stack before its present owner."""
    process = t.spawn([BUILD / "tests/green/target_context"])
    t.wait(lambda: "ready" in process.stdout_text(), "the program to be ready", alive=process)
    document = t.valid_json(t.gmr("report", process.pid, "--format", "json", "--sections", "green_threads,threads").stdout)
    seen = []
    for thread in document["green_threads"]:
        check(thread["discovered"] is True and thread["kind"] in ("ucontext", "setjmp coroutine"), thread)
        names = [frame.get("function") for frame in document["stacks"][thread["stack"]]["frames"]]
        seen.append(next((f"{name} {names.count('descend')}" for name in ("waits", "nine", "returns", "spins", "jumps") if name in names), names))
        check((thread["state"] == "running") == (seen[-1] == "spins 0") and (thread["kind"] == "ucontext") == (seen[-1] != "jumps 0"), thread, names)
    check(sorted(seen) == ["jumps 0", "nine 2", "spins 0", "waits 2", "waits 4", "waits 6"], seen)


@suite.test
def from_a_core_file(t):
    process = start(t, build(t, "fibers.cpp", "-lboost_context"), 300, 5000)
    core = t.core_of(process)
    process.stop()
    document = json.loads(t.gmr("core", core, "--format", "json").stdout)
    check(len(document["green_threads"]) == 300, len(document["green_threads"]))


@suite.test
def each_has_the_stack_it_can_have(t):
    process = start(t, build(t, "fibers.cpp", "-lboost_context"), 200, 5000)
    document = t.report(process.pid)
    threads = document["green_threads"]
    check(len(threads) == 200, len(threads))
    for thread in threads:
        check(thread["discovered"] is True and thread["state"] == "suspended", thread)
        names = [frame.get("function", "") for frame in document["stacks"][thread["stack"]]["frames"]]
        deep = [name for name in names if name == "descend"]
        check(1 <= len(deep) <= 21 and "fiber_body" in names, names)
        check(thread["entry"] == {"function": "fiber_body"}, thread)


@suite.test
def a_program_that_calls_no_switch_routine_is_not_scanned(t):
    process = t.spawn(["/bin/sleep", "1000"])
    stacks, notes = run(t, process.pid, "scan", code=1)
    check(not stacks and not notes)


@suite.test
def memory_that_lies_does_no_harm(t):
    process = start(t, build(t, "fibers.cpp", "-lboost_context"), 200, 5000)
    other = jumping(t, 200, 5000, "makecontext")
    for seed in range(1, 21):
        run(t, process.pid, "scan", 2 + seed, seed)
        run(t, other.pid, "scan", 2 + seed, seed)
    check(process.alive() and other.alive())


suite.main()
