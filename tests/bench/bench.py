"""gmr beside gdb and eu-stack on the same process, as a table in Markdown.

    bench.py [--threads 10,100,1000] [--depths 20,200] [--runs 3] [--limit 180]

For each number of threads and each depth the load program is started; every tool then looks at it, `runs` times; medians are shown. What
each run cost is measured from outside: wall time, the tool's CPU time and peak memory (wait4), the longest time a spinning thread of
the target did not run, and how many system calls of the target came back with EINTR. A tool that took longer than `limit` seconds is
not tried with more threads. "cold": with an empty symbol cache. The last columns are ratios to `gmr report` (text, warm) with the same threads and depth.
GMR_BUILD names the build directory.
"""
import argparse
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GMR_BUILD", ROOT / "build")).resolve()


class Load:
    """The load program, with the tap on its figures."""

    def __init__(self, threads, depth):
        self.process = subprocess.Popen([BUILD / "tests/bench/load", str(threads), str(depth)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            raise SystemExit(f"bench: {threads} threads could not be started")
        self.pid = int(line[1])

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run(load, argv, env, limit):
    """One run: a dict of figures, or None if it did not end in time."""
    load.ask("reset")
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL, env=env)
        timer = threading.Timer(limit, child.kill)
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        in_time = timer.is_alive()
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        size = output.tell() or os.fstat(output.fileno()).st_size
    if not in_time:
        return None
    time.sleep(0.05)
    eintrs, gap_us = load.ask("stats")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024, "gap": float(gap_us) / 1e3,
            "eintr": int(eintrs), "bytes": size, "status": child.returncode}


def tools(pid, cache):
    """Name, command, environment, whether the symbol cache is emptied before each run."""
    plain = dict(os.environ, XDG_CACHE_HOME=str(cache))
    plain.pop("DEBUGINFOD_URLS", None)
    gmr = str(BUILD / "gmr")
    only = ["--sections", "threads"]
    return [
        ("gmr report, text", [gmr, "report", str(pid), *only], plain, False),
        ("gmr report, text, cold", [gmr, "report", str(pid), *only], plain, True),
        ("gmr report, json", [gmr, "report", str(pid), "--format", "json", *only], plain, False),
        ("eu-stack", ["eu-stack", "-p", str(pid)], plain, False),
        ("eu-stack -s -i", ["eu-stack", "-s", "-i", "-p", str(pid)], plain, False),
        ("gdb thread apply all bt", ["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "thread apply all bt"], plain, False),
    ]


def figure(value, digits=3):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def row(threads, depth, name, figures, base):
    if figures is None:
        return f"| {threads} x {depth} | {name} | > limit | | | | | | |"
    wall, cpu = (figures[key] / max(base[key], 1e-9) for key in ("wall", "cpu"))
    return (f"| {threads} x {depth} | {name} | {figure(figures['wall'])} | {figure(figures['cpu'])} | {figures['memory']:.0f} | "
            f"{figure(figures['gap'])} | {figures['eintr']} | {figure(wall)} | {figure(cpu)} |")


def medians(samples):
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]} | {
        "eintr": max(sample["eintr"] for sample in samples)}


def measure(threads, depth, arguments, given_up):
    load = Load(threads, depth)
    cache = pathlib.Path(tempfile.mkdtemp(prefix="gmr-bench-"))
    base = None
    try:
        for name, argv, env, cold in tools(load.pid, cache):
            if name in given_up or shutil.which(argv[0]) is None:
                continue
            samples = []
            if not cold and argv[0].endswith("gmr"):
                run(load, argv, env, arguments.limit)
            for _ in range(arguments.runs):
                if cold:
                    shutil.rmtree(cache, ignore_errors=True)
                    cache.mkdir()
                sample = run(load, argv, env, arguments.limit)
                samples.append(sample)
                if sample is None or sample["wall"] > arguments.limit / 4:
                    given_up.add(name)
                    break
            figures = None if None in samples else medians(samples)
            base = base or figures
            print(row(threads, depth, name, figures, base), flush=True)
    finally:
        load.close()
        shutil.rmtree(cache, ignore_errors=True)


def frame_cost(threads, depth):
    """Nanoseconds a frame, and the pause of one thread, from the engine alone."""
    load = Load(threads, depth)
    try:
        text = subprocess.run([BUILD / "tests/engine/probe", "unwind", str(load.pid)], capture_output=True, text=True,
                              check=False).stdout
    finally:
        load.close()
    return dict(re.findall(r'"(\w+)": ([\d.]+)', text))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", default="10,100,1000")
    parser.add_argument("--depths", default="20,200")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=180)
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
    print(f"{os.cpu_count()} processors, Linux {os.uname().release}, medians of {arguments.runs} runs.\n")
    print("| threads x depth | tool | wall, s | CPU, s | memory, MiB | longest gap, ms | EINTRs | wall, ratio | CPU, ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    given_up = set()
    for depth in map(int, arguments.depths.split(",")):
        given_up.clear()
        for threads in map(int, arguments.threads.split(",")):
            measure(threads, depth, arguments, given_up)
    print("\n| threads x depth | ns a frame, warm | ns a frame, first time | pause of a thread, median us |")
    print("|---|---|---|---|")
    for depth in map(int, arguments.depths.split(",")):
        cost = frame_cost(1000, depth)
        print(f"| 1000 x {depth} | {cost.get('warm_ns', '?')} | {cost.get('first_ns', '?')} | {cost.get('pause_us', '?')} |")


sys.exit(main())
