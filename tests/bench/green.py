"""Green threads by the hundred thousand: what a report of them costs, as a table in Markdown.

    green.py [--runs 3] [--limit 180] [--only NAME,...]

Each program below is started, and its tools look at it, `runs` times; medians are shown. Wall time, CPU time and peak memory of the tool
are measured from outside (measured.py); how long OS threads stood is what the report itself says; how many green threads are in it is counted
in it. A program or a tool that is not here is left out. GMR_BUILD names the build directory.

Another kind of green thread is one more function that yields a Program, in PROGRAMS.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from measured import BUILD, measured

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Tool:
    """One way to ask. argv: `{pid}` is filled in. figures(output) -> {"stop_us":, "count":}, what the output says of itself; else
    `ask(pid)` instead of argv: does it all by itself and returns the output's bytes (a signal, a socket of the program's). once: one run, since it takes long."""

    def __init__(self, name, argv=None, figures=None, ask=None, once=False):
        self.name, self.argv, self.figures, self.ask, self.once = name, argv, figures, ask, once


class Program:
    """A load. argv is started and says `ready` on standard output."""

    def __init__(self, name, argv, tools, ready="ready"):
        self.name, self.argv, self.tools, self.ready = name, [str(a) for a in argv], tools, ready

    def start(self):
        process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in process.stdout:
            if self.ready in line:
                return process
        process.wait()
        raise SystemExit(f"bench: {self.name} did not start")


def text_figures(output):
    text = output.decode(errors="replace")
    count = re.search(r"^([\d,]+) green threads?", text, re.M)
    pause = re.search(r"^  pause_max_us = (\d+)", text, re.M)
    return {"count": int(count[1].replace(",", "")) if count else 0, "stop_us": int(pause[1]) if pause else 0}


def json_figures(output):
    document = json.loads(output)
    return {"count": len(document["green_threads"]), "stop_us": document["report"]["cost"]["pause_max_us"]}


def reports(text=True, full=True, options=()):
    """gmr's own tools: the whole report, every section."""
    gmr = str(BUILD / "gmr")
    both = [Tool("gmr report, text", [gmr, "report", "{pid}", *options], text_figures)] if text else []
    return both + ([Tool("gmr report, JSON", [gmr, "report", "{pid}", "--format", "json", *options], json_figures)] if full else [])


def run(tool, pid, limit):
    """One run: a dict of figures, or None if it did not end in time."""
    if tool.ask:
        began = time.monotonic()
        output = tool.ask(pid)
        found = {"wall": time.monotonic() - began}
    else:
        done = measured([a.format(pid=pid) for a in tool.argv], limit)
        if not done:
            return None
        output, found = done
    found["bytes"] = len(output)
    return found | (tool.figures(output) if tool.figures else {})


def cell(figures, key, form="{:.2f}", scale=1.0):
    return form.format(figures[key] * scale) if key in figures else ""


def measure(program, runs, limit):
    process = program.start()
    try:
        for tool in program.tools:
            if tool.argv and not shutil.which(tool.argv[0]):
                continue
            if not tool.once:
                run(tool, process.pid, limit)  # warms the symbol cache
            samples = [run(tool, process.pid, limit) for _ in range(1 if tool.once else runs)]
            if None in samples:
                print(f"| {program.name} | {tool.name} | > {limit:.0f} | | | | | |", flush=True)
                continue
            f = {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
            print(f"| {program.name} | {tool.name} | {cell(f, 'wall')} | {cell(f, 'cpu')} | {cell(f, 'memory', '{:.0f}')} | "
                  f"{cell(f, 'stop_us', '{:.1f}', 1e-3)} | {cell(f, 'count', '{:,.0f}')} | {cell(f, 'bytes', '{:.1f}', 1e-6)} |", flush=True)
    finally:
        process.terminate()
        process.wait()


def registry():
    """gmr's registry: 13 frames each; one in a hundred switches at full speed, or none."""
    many = BUILD / "tests/green/target_many"
    yield Program("100,000 x 13 frames, 1 % switch", [many, 100000, 11, 10, "spin", "counted"], reports())
    yield Program("100,000 x 13 frames, 1 % switch, not counted", [many, 100000, 11, 10, "spin"], reports(full=False))
    yield Program("1,000,000 x 13 frames", [many, 1000000, 11, 0, "counted"], reports(full=False))


def registry_costs():
    """Nanoseconds in the program itself: told by bench_registry."""
    bench = BUILD / "tests/green/bench_registry"
    if bench.exists():
        print("\nIn the program, ns of CPU time:\n\n```\n" + subprocess.run([bench], capture_output=True, text=True, check=False).stdout + "```")


def ask_socket(path, what):
    """HTTP's simplest form over a Unix socket: the answer with its head."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(f"GET /{what} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def go_figures(output):
    gap = re.search(rb"\ngap (\d+) us\n", output[-100:])
    count = re.search(rb"goroutine profile: total (\d+)", output[:1000])
    return {"count": int(count[1]) if count else len(re.findall(rb"^goroutine \d", output, re.M)), "stop_us": int(gap[1]) if gap else 0}


def goroutines():
    """Go: its own ways beside gmr; for how long they stop everything is measured by the program."""
    if not shutil.which("go"):
        return
    with tempfile.TemporaryDirectory(prefix="gmr-bench-") as directory:
        program, path = pathlib.Path(directory, "goroutines"), str(pathlib.Path(directory, "socket"))
        environment = dict(os.environ, GOCACHE=directory + "/cache", GO111MODULE="off", GOFLAGS="", GOPROXY="off")
        subprocess.run(["go", "build", "-o", program, ROOT / "tests/bench/goroutines.go"], env=environment, check=True)
        own = [Tool(name, figures=go_figures, ask=lambda _, what=what: ask_socket(path, what))
               for name, what in (("pprof, debug=1", "pprof1"), ("pprof, debug=2", "pprof2"), ("runtime.Stack", "stack"))]
        yield Program("100,000 goroutines, 13 frames", [program, 100000, 0, path], reports() + own)
        pathlib.Path(path).unlink(missing_ok=True)
        yield Program("100,000 goroutines, 1 % switch", [program, 100000, 1000, path], reports())


def oslo_figures(output):
    stood = re.search(rb"\nstood (\d+) us\n$", output[-100:])
    return {"count": len(re.findall(rb"^------ +Green Thread +------$", output, re.M)), "stop_us": int(stood[1])}


def ask_oslo(pid, path):
    """oslo.reports on SIGUSR2: its report, once it is whole."""
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR2)
    while not path.exists():
        time.sleep(0.001)
    return path.read_bytes()


def greenlets():
    """Python's: oslo.reports, the report that OpenStack's services make of themselves, and py-spy, which knows OS threads only."""
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import eventlet, oslo_reports"], capture_output=True, check=False).returncode:
        return
    with tempfile.TemporaryDirectory(prefix="gmr-bench-") as directory:
        path = pathlib.Path(directory, "report")
        own = [Tool("oslo.reports (SIGUSR2)", figures=oslo_figures, ask=lambda pid: ask_oslo(pid, path), once=True),
               Tool("py-spy (threads only)", ["py-spy", "dump", "--pid", "{pid}"])]
        for name, switching in (("10,000 greenlets", 0), ("10,000 greenlets, 1 % switch", 100)):
            yield Program(name, [python, ROOT / "tests/bench/greenlets.py", 10000, switching, path], reports() + own)


PROGRAMS = [registry, goroutines, greenlets]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=180)
    parser.add_argument("--only", default="", help="names of functions in PROGRAMS, by comma")
    arguments = parser.parse_args()
    only = arguments.only.split(",") if arguments.only else []
    print(f"\n{os.cpu_count()} processors, Linux {os.uname().release.partition('-')[0]}, medians of {arguments.runs} runs.\n")
    print("| green threads | tool | wall, s | CPU, s | memory, MiB | OS threads stood, ms | listed | output, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in PROGRAMS:
        if not only or kind.__name__ in only:
            for program in kind():
                if pathlib.Path(program.argv[0]).exists() or shutil.which(program.argv[0]):
                    measure(program, arguments.runs, arguments.limit)
    if not only or "registry" in only:
        registry_costs()


if __name__ == "__main__":
    sys.exit(main())
