#!/usr/bin/python3
"""Two reports a second, or as many as asked, for as long as asked: nothing may grow, nothing may get lost.

    tests/soak/soak.py [--build DIR] [--minutes N | --seconds N] [--per-second N] [--json FILE]

The example daemon writes reports to files on SIGUSR2, and is reported from outside in between; a client gives orders all the while.
Watched: memory, descriptors, threads and children of the daemon, its report files (bounded by retention), every report's wholeness, every
order's answer. TAP on standard output.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

WARM_UP = 6  # reports until every path has been walked once and memory has settled
GROWTH_KB = 1024  # malloc's and the page cache's play, not a leak: 1 MiB over any number of reports
KEPT = 100  # gmr_options.max_files
TOLD, END_BYTES = 3, 2000  # of reports that were not whole


def figures(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return {
        "private_kb": int(re.search(r"Private_Dirty:\s+(\d+)", rollup).group(1)),
        "threads": int(re.search(r"Threads:\s+(\d+)", status).group(1)),
        "fds": len(os.listdir(f"/proc/{pid}/fd")),
        "children": len(children),
        "virtual_kb": int(re.search(r"VmSize:\s+(\d+)", status).group(1)),
    }


def settled(t, pid):
    """The daemon between two reports: the inspector gone."""
    t.wait(lambda: figures(pid)["children"] == 0, "the inspector to end")
    return figures(pid)


def soak(t, seconds, period):
    import common  # pylint: disable=import-outside-toplevel
    import daemons  # pylint: disable=import-outside-toplevel
    from puppet import END  # pylint: disable=import-outside-toplevel
    log = t.directory("log")
    process = t.spawn([t.build("examples/exampled"), "--log-dir", log])
    line = t.wait(lambda: re.search(r"on port (\d+)", process.stderr_text()), "exampled", alive=process)
    address = ("127.0.0.1", int(line.group(1)))
    counts = {"by_signal": 0, "from_outside": 0, "cut_short": 0, "most_files": 0}
    seen = set()

    def count(kind, whole, text):
        counts[kind] += 1
        counts["cut_short"] += not whole
        if not whole and counts["cut_short"] <= TOLD:
            print("# not whole, its end:", *text[-END_BYTES:].splitlines(), sep="\n# ")

    def new_file():
        for path in log.iterdir():
            if path.name not in seen and END in path.read_text(errors="replace"):
                seen.add(path.name)
                return path
        return None

    def by_signal():
        os.kill(process.pid, signal.SIGUSR2)
        counts["most_files"] = max(counts["most_files"], len(list(log.iterdir())))
        text = t.wait(new_file, "a report file", alive=process).read_text(errors="replace")
        count("by_signal", "status = complete" in text, text)

    def from_outside():
        result = t.gmr("report", process.pid)
        count("from_outside", result.returncode == 0 and END in result.stdout, result.stdout)

    first = None
    with common.Client(lambda: daemons.talk(address, b"order tea\n", b"your order is"), pause=0.02) as client:
        start = time.monotonic()
        number = 0
        while time.monotonic() < start + seconds or number < WARM_UP + 4:
            (by_signal if number % 2 == 0 else from_outside)()
            number += 1
            if number == WARM_UP:
                first = settled(t, process.pid)
            # The next one at its time, unless one takes longer.
            time.sleep(max(0.0, start + number * period - time.monotonic()))
    last = settled(t, process.pid)
    counts.update(orders=client.answers, failed_orders=client.errors, seconds=round(time.monotonic() - start), first=first, last=last)
    common.check(client.errors == 0, client.errors, "orders failed:", client.first_error)
    common.check(counts["cut_short"] == 0, counts["cut_short"], "reports were not whole")
    for name in ("threads", "fds", "children"):
        common.check(last[name] <= first[name], name, "grew from", first[name], "to", last[name])
    common.check(last["private_kb"] <= first["private_kb"] + GROWTH_KB, "memory grew from", first, "to", last)
    common.check(last["virtual_kb"] <= first["virtual_kb"] + GROWTH_KB, "address space grew from", first, "to", last)
    common.check(counts["most_files"] <= KEPT + 1, counts["most_files"], "report files were kept")
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--per-second", type=float, default=2, help="an hour's worth of reports in less time")
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.build:
        os.environ["GMR_BUILD"] = str(pathlib.Path(arguments.build).resolve())
    sys.argv[1:] = []
    import common  # pylint: disable=import-outside-toplevel

    @common.suite.test
    def reports_all_the_time_and_nothing_grows(t):
        counts = soak(t, arguments.seconds if arguments.seconds is not None else arguments.minutes * 60, 1 / arguments.per_second)
        for name, value in counts.items():
            print(f"# {name}: {value}")
        if arguments.json:
            pathlib.Path(arguments.json).write_text(json.dumps(counts), encoding="ascii")

    common.suite.main()


main()
