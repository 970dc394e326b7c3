"""Runs green_source over a process and parses what it prints."""
import os
import pathlib
import re
import subprocess

from common import TIMEOUT, check


class Stack:
    """An OS thread (tid) or a green thread with its language frames: [function, file, line], innermost first."""

    def __init__(self, line):
        words = line.split()
        is_os = words[0] == "OS"
        self.tid = int(words[1]) if is_os else None
        self.number = None if is_os else words[1]
        found = None if is_os else re.match(r"GREEN \d+ (.*) state=(\d+) name=(.*) wait=(.*) carrier=(\d+) ", line)
        self.kind = found[1] if found else None
        self.fields = dict(zip(("state", "name", "wait", "carrier"), found.groups()[1:])) if found else {}
        self.frames, self.end = [], None


def run(t, pid, name, *lie, code=0):
    """(stacks, notes) as the source called `name` sees process pid; lie: every how many reads, and a seed; then nothing."""
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    result = subprocess.run([t.build("tests/outside/green_source"), str(pid), name, *map(str, lie)], timeout=TIMEOUT,
                            capture_output=True, encoding="utf-8", errors="replace", check=False, env=environment)
    check(lie or result.returncode == code, f"green_source ended with {result.returncode}:", result.stderr, result.stdout)
    check(not lie or result.returncode in (0, 1), f"green_source ended with {result.returncode}:", result.stderr)
    if lie:  # names may hold newlines and all else
        return [], ""
    stacks, notes = [], ""
    for line in result.stdout.splitlines():
        if line.startswith("NOTES "):
            notes = line[6:]
        elif line.startswith("    ("):
            stacks[-1].end = line.strip()[1:-1]
        elif line.startswith("    "):
            function, place = line.strip().removesuffix(" *").rsplit(" ", 1)
            file, number = place.rsplit(":", 1)
            stacks[-1].frames.append([function, file, int(number)])
        elif line.strip():
            stacks.append(Stack(line))
    return stacks, notes


HERE = pathlib.Path(__file__).resolve().parent
