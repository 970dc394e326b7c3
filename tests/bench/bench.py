"""gmr beside gdb and eu-stack on the same process, as a table in Markdown.

    bench.py [--quick] [--threads 10,100,...] [--depths 20,200] [--runs 3] [--limit 180] [--readme FILE]

For each number of threads and each depth the load program is started; every tool then looks at it, `runs` times; medians are shown. What
each run cost is measured from outside, by measured.py (what takes less than half a second is run three times as often):

- wall time, CPU time;
- peak memory: of gmr, which is several processes with shared memory, the largest sum of Pss seen in a run of its own, not timed; else the
  largest resident set;
- the longest pause of a running thread: a spinning thread of the target looks at the clock; the time it waited for a processor
  (schedstat) is taken off;
- how many system calls of the target came back with EINTR, the most in any run.

The median pause of a thread is what gmr's own report says. A tool that took longer than a quarter of `limit` seconds is run once, and not
tried with more threads; at `limit` it is killed. "cold": with an empty symbol cache. Ratios are of wall time, to `gmr report` (text) with the
same threads and depth, its symbol cache warm and cold. --quick: a few minutes, for development. --readme: the table between the marks
in FILE is written anew, too. GMR_BUILD names the build directory.
"""
import argparse
import os
import pathlib
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from measured import BUILD, measured

WARM, COLD = "gmr report", "gmr report, cold"
MARKS = "<!-- made by make bench -->\n", "<!-- end -->\n"
SHORT_S, SHORT_TIMES = 0.5, 3  # what takes less is run more often: one hiccup of the machine is a larger part of it
README_ROWS = {(10, 20), (1000, 20), (1000, 200), (10000, 20), (25000, 20), (25000, 200)}


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


class Tool:
    def __init__(self, name, argv, cold=False):
        self.name, self.argv, self.cold = name, argv, cold
        self.ours = name.startswith("gmr")


def tools(pid):
    gmr = [str(BUILD / "gmr"), "report", str(pid), "--sections", "threads"]
    return [
        Tool(WARM, gmr),
        Tool(COLD, gmr, cold=True),
        Tool("gmr report, JSON", [*gmr, "--format", "json"]),
        Tool("eu-stack (no lines)", ["eu-stack", "-p", str(pid)]),
        Tool("eu-stack -s -i", ["eu-stack", "-s", "-i", "-p", str(pid)]),
        Tool("gdb -batch 'thread apply all bt'", ["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "thread apply all bt"]),
    ]


# ------------------------------------------------------------------------------------------------- one run


def run(load, tool, env, limit):
    """A dict of figures, or None if it did not end in time."""
    load.ask("reset")
    done = measured(tool.argv, limit, env)
    if not done:
        # Attached by PTRACE_ATTACH, it would stay in the stop of a SIGSTOP.
        os.kill(load.pid, signal.SIGCONT)
        return None
    output, figures = done
    pause = re.search(rb'pause_median_us"?( =|:) *(\d+)', output[-2000:])
    time.sleep(0.05)
    eintrs, pause_us = load.ask("stats")
    figures |= {"pause": float(pause_us) / 1e3, "eintr": int(eintrs)}
    return figures | ({"median": float(pause[2])} if pause else {})


def pss(pid):
    """KiB, of a process and those it has forked."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s*(\d+)", text, re.M)
    return (int(found[1]) if found else 0) + sum(map(pss, children))


def peak_memory(tool, env):
    """MiB: of all its processes together, what they share counted once."""
    peak = 0
    with subprocess.Popen(tool.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as child:
        while child.poll() is None:
            peak = max(peak, pss(child.pid))
            time.sleep(0.001)
    return peak / 1024


# ------------------------------------------------------------------------------------------------- rows


def sample(load, tool, env, cache, arguments):
    """The medians of several runs; None: over the limit."""
    samples = []
    if tool.ours and not tool.cold:
        run(load, tool, env, arguments.limit)
    runs = arguments.runs
    while len(samples) < runs:
        if tool.cold:
            shutil.rmtree(cache, ignore_errors=True)
            cache.mkdir()
        samples.append(run(load, tool, env, arguments.limit))
        if samples[-1] is None or samples[-1]["wall"] > arguments.limit / 4:
            break
        if samples[-1]["wall"] < SHORT_S:
            runs = SHORT_TIMES * arguments.runs
    if None in samples:
        return None
    figures = {key: statistics.median(s[key] for s in samples) for key in samples[0]}
    figures["eintr"] = max(s["eintr"] for s in samples)
    figures["status"] = max(s["status"] for s in samples)
    if tool.ours:
        figures["memory"] = max(figures["memory"], peak_memory(tool, env))
    return figures


def measure(threads, depth, arguments, given_up):
    """Yields (tool's name, figures or a sentence)."""
    load = Load(threads, depth)
    cache = pathlib.Path(tempfile.mkdtemp(prefix="gmr-bench-"))
    env = dict(os.environ, XDG_CACHE_HOME=str(cache))
    env.pop("DEBUGINFOD_URLS", None)
    time.sleep(1)  # its threads come to rest
    try:
        for tool in tools(load.pid):
            if shutil.which(tool.argv[0]) is None:
                continue
            if tool.name in given_up:
                yield tool.name, given_up[tool.name]
                continue
            figures = sample(load, tool, env, cache, arguments)
            if figures is None:
                figures = f"over {arguments.limit:.0f} s"
                given_up[tool.name] = f"not tried: {figures} with {threads:,} threads"
            elif figures["wall"] > arguments.limit / 4:
                given_up[tool.name] = f"not tried: {figures['wall']:.0f} s with {threads:,} threads"
            yield tool.name, figures
    finally:
        load.close()
        shutil.rmtree(cache, ignore_errors=True)


HEAD = ("| threads x depth | tool | wall, s | CPU, s | peak memory, MiB | longest pause of a running thread, ms | median pause of a thread, us | "
        "calls that failed with EINTR | wall, ratio to gmr warm | cold |\n|---|---|---|---|---|---|---|---|---|---|")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "0"


def row(threads, depth, name, figures, base):
    where = f"| {threads:,} x {depth} | {name} |"
    if isinstance(figures, str):
        return f"{where} {figures} | | | | | | | |"
    name = f"{name}, not whole" if figures["status"] and name.startswith("gmr") else name
    ratios = [number(figures["wall"] / base[key]["wall"]) if isinstance(base.get(key), dict) else "" for key in (WARM, COLD)]
    median = number(figures["median"]) if "median" in figures else ""
    return (f"| {threads:,} x {depth} | {name} | {number(figures['wall'])} | {number(figures['cpu'])} | {figures['memory']:.0f} | "
            f"{number(figures['pause'])} | {median} | {figures['eintr']} | {ratios[0]} | {ratios[1]} |")


def frame_costs(depth):
    """Nanoseconds a frame, and the pause of one thread, from the engine alone."""
    load = Load(1000, depth)
    try:
        text = subprocess.run([BUILD / "tests/engine/probe", "unwind", str(load.pid)], capture_output=True, text=True,
                              check=False).stdout
    finally:
        load.close()
    cost = dict(re.findall(r'"(\w+)": ([\d.]+)', text))
    return f"| 1,000 x {depth} | {cost.get('warm_ns', '?')} | {cost.get('first_ns', '?')} | {cost.get('pause_us', '?')} |"


def write_readme(path, about, rows):
    path = pathlib.Path(path)
    before, mark, rest = path.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        raise SystemExit(f"bench: {path} has no marks for the table")
    path.write_text(before + mark + about + "\n\n" + HEAD + "\n" + "\n".join(rows) + "\n" + end + after)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads")
    parser.add_argument("--depths")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=180)
    parser.add_argument("--readme")
    arguments = parser.parse_args()
    threads = arguments.threads or ("10,1000" if arguments.quick else "10,100,1000,10000,25000")
    depths = arguments.depths or ("20" if arguments.quick else "20,200")
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
    began, kept = time.monotonic(), []
    linux = re.match("[0-9.]*", os.uname().release)[0]  # without the name of somebody's build
    about = (f"{os.cpu_count()} processors, Linux {linux}, medians of {arguments.runs} runs ({arguments.runs * SHORT_TIMES} of what takes "
             "less than half a second), all in one go.")
    print(f"{about} Load average at the beginning: {os.getloadavg()[0]:.2f}.\n\n{HEAD}", flush=True)
    for depth in map(int, depths.split(",")):
        given_up = {}
        for count in map(int, threads.split(",")):
            base = {}
            results = []
            for name, figures in measure(count, depth, arguments, given_up):
                base[name] = figures
                results.append((name, figures))
                print(row(count, depth, name, figures, base), flush=True)
            if (count, depth) in README_ROWS:
                kept += [row(count, depth, name, figures, base) for name, figures in results]
    print("\n| threads x depth | ns a frame, warm | ns a frame, first time | pause of a thread, median us |\n|---|---|---|---|")
    for depth in map(int, depths.split(",")):
        print(frame_costs(depth), flush=True)
    print(f"\nTook {(time.monotonic() - began) / 60:.0f} minutes.")
    if arguments.readme:
        write_readme(arguments.readme, about, kept)


if __name__ == "__main__":
    sys.exit(main())
