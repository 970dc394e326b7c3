"""Runs green_source over a process and parses what it prints."""
import os
import pathlib
import subprocess

from common import TIMEOUT, check


class Stack:
    """An OS thread (tid) or a green thread with its language frames: [function, file, line], innermost first."""

    def __init__(self, words):
        self.tid = int(words[1]) if words[0] == "OS" else None
        self.fields = dict(word.split("=", 1) for word in words[2:] if "=" in word)
        self.kind = None if words[0] == "OS" else " ".join(word for word in words[2:] if "=" not in word)
        self.frames, self.end = [], None


def run(t, pid, name, *lie, code=0):
    """(stacks, notes) as the source called `name` sees process pid; lie: every how many reads, and a seed."""
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    result = subprocess.run([t.build("tests/outside/green_source"), str(pid), name, *map(str, lie)], timeout=TIMEOUT,
                            capture_output=True, encoding="utf-8", errors="replace", check=False, env=environment)
    check(lie or result.returncode == code, f"green_source ended with {result.returncode}:", result.stderr, result.stdout)
    check(not lie or result.returncode in (0, 1), f"green_source ended with {result.returncode}:", result.stderr)
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
            stacks.append(Stack(line.split()))
    return stacks, notes


HERE = pathlib.Path(__file__).resolve().parent
