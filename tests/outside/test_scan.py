"""Fibers discovered in memory: exactly those that there are, in programs that know nothing of gmr."""
import json
import shutil
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
def fibers_of_php(t):
    document = interpreted(t, "fibers.php", """<?php
function deep($n) { return $n > 0 ? deep($n - 1) : Fiber::suspend(); }
$fibers = [];
for ($i = 0; $i < 50; $i++) { $f = new Fiber(function () use ($i) { while (true) deep($i % 7); }); $f->start(); $fibers[] = $f; }
for ($i = 0; $i < 2000; $i++) $fibers[rand(0, 49)]->resume();
echo "ready\n";
while (true) sleep(1000);
""", "php")
    check_interpreted(document, "Boost.Context fiber", "zend_call_function")


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


@suite.test
def ucontexts(t):
    """Those that wait: none that returned, nor one that was on a stack before its present owner. (One that runs since it was made never switched.)"""
    process = t.spawn([BUILD / "tests/green/target_context"])
    t.wait(lambda: "ready" in process.stdout_text(), "the program to be ready", alive=process)
    document = t.valid_json(t.gmr("report", process.pid, "--format", "json", "--sections", "green_threads,threads").stdout)
    seen = []
    for thread in document["green_threads"]:
        check(thread["discovered"] is True and thread["kind"] == "ucontext" and thread["state"] == "suspended", thread)
        names = [frame.get("function") for frame in document["stacks"][thread["stack"]]["frames"]]
        seen.append(next((f"{name} {names.count('descend')}" for name in ("waits", "nine", "returns") if name in names), names))
    check(sorted(seen) == ["nine 2", "waits 2", "waits 4", "waits 6"], seen)


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


@suite.test
def a_program_that_calls_no_switch_routine_is_not_scanned(t):
    process = t.spawn(["/bin/sleep", "1000"])
    stacks, notes = run(t, process.pid, "scan", code=1)
    check(not stacks and not notes)


@suite.test
def memory_that_lies_does_no_harm(t):
    process = start(t, build(t, "fibers.cpp", "-lboost_context"), 200, 5000)
    for seed in range(1, 21):
        run(t, process.pid, "scan", 2 + seed, seed)
    check(process.alive())


suite.main()
