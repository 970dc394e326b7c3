"""Real programs that nobody here wrote, at work, stopped at random instants: each thread's list of functions, as gdb and as gmr tell it.

    tests/targets/agree.py [--build DIR] [--stops N] [--seed N] [PROGRAM...]         (make agree)

A long run, not part of `make check`: `test_gdb_agreement.py` compares on programs whose every stack is known. Here nothing is known but what two
independent unwinders say of the same frozen process. One gdb stays for all stops of a program (it attaches and detaches), so that a stop
costs a fraction of a second. What differs is printed whole. Two kinds are counted apart (`is_lost` and `is_told` of compare.py hold the proof):
gdb is lost in code without call-frame information where gmr's stack is whole; and neither knows more, where gmr ends with that reason and gdb goes on
through addresses in no function.

What came of it, program by program:
  - musl: Debian's has no call-frame information. gdb stops in libc or leaves it through words that are no return addresses; gmr follows the code, and
    every stack leads to where the thread began.
  - Java: compiled methods have neither call-frame information nor, unless it runs with -XX:+PreserveFramePointer, frame pointers. With it all stacks are
    whole. Without, gmr follows the code to its return; a loop that never returns has none, and there the stack ends and says so. gdb takes word after
    word off the stack for return addresses (`??`).
  - Go with C: the runtime switches stacks (`asmcgocall`, `mcall`, `systemstack`), and the OS thread's own begins there: gmr's stack ends, gdb goes on over
    words of the stack that it left.
  - Python: gdb does not unfold what is inlined at a tail call's place: it shows the innermost call alone, as if it were the function (`tails_as_gdb`).
  - guile: its compiled code keeps its frames elsewhere and leaves through jumps: gmr's stack ends there. gdb takes words off the stack until it
    happens upon a caller in libguile, behind some that are none.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import compare  # noqa: E402
from programs_at_work import PROGRAMS, Missing, Stage  # noqa: E402


class Gdb:
    """A gdb that attaches to one process again and again."""

    END = "=== end of answer ==="

    def __init__(self, user=None):
        options = {"user": user, "group": user, "extra_groups": []} if user is not None else {}
        self.popen = subprocess.Popen([c for c in compare.GDB if c != "-batch"] + ["-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", start_new_session=True, **options)
        self.ask("set pagination off")
        self.ask("set auto-solib-add on")

    def ask(self, command):
        self.popen.stdin.write(f"{command}\necho \\n{self.END}\\n\n")
        self.popen.stdin.flush()
        lines = []
        for line in self.popen.stdout:
            if line.startswith("(gdb) "):
                line = line.replace("(gdb) ", "")
            if line.strip() == self.END:
                return lines
            lines.append(line)
        raise AssertionError("gdb ended: " + "".join(lines[-20:]))

    def threads(self, pid):
        attached = self.ask(f"attach {pid}")
        lines = self.ask("thread apply all bt")
        raw = self.ask("thread apply all -q x/i $pc") if os.environ.get("AGREE_PC") else []
        self.ask("detach")
        threads, current = {}, None
        for line in lines:
            thread, frame = compare.THREAD.match(line), compare.FRAME.match(line.rstrip("\n"))
            if thread:
                current = threads.setdefault(int(thread[1]), [])
            elif frame and current is not None and int(frame[1]) == len(current):
                name = frame[3]
                current.append(compare.Frame(name, int(frame[2], 16) if frame[2] else None,
                                             "signal" if name == compare.SIGNAL else ""))
        return threads, attached + lines + raw

    def end(self):
        with contextlib.suppress(Exception):
            self.popen.stdin.close()
            self.popen.wait(10)
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()


def states(pid):
    found = set()
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
        found.add(path.read_text(errors="replace").rsplit(")", 1)[1].split()[0])
    return found


def freeze(pid):
    os.kill(pid, 19)
    end = time.monotonic() + 30
    while states(pid) - {"T", "t"}:
        if time.monotonic() > end:
            raise ProcessLookupError
        time.sleep(0.001)


def family(pids):
    """The pids and all below them, but shells that only loop."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                parents[int(name)] = int(pathlib.Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    found, grown = set(pids), True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def is_shell(pid):
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) in ("dash", "sh")
    return True


class Tally:
    def __init__(self):
        self.threads = self.frames = self.differ = self.stops = self.lost = self.told = self.guessed = self.broken = 0

    def __str__(self):
        return (f"{self.stops} stops, {self.threads} threads, {self.frames} frames: {self.threads - self.differ - self.lost - self.told} agree, gdb is "
                f"lost in {self.lost}, neither knows more in {self.told}, {self.differ} differ; of gmr's {self.guessed} have a guess, {self.broken} are not whole")


def look(pid, gdb, build, options, tally, verbose):
    freeze(pid)
    try:
        modules = compare.mapped_files(pid)
        theirs, text = gdb.threads(pid)
        if not theirs:
            return []
        result = subprocess.run([str(build / "gmr"), "report", str(pid), "--max-frames", "5000", "--sections", "threads,stacks", *options,
                                 "--format", "json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=compare.TIMEOUT)
        document = json.loads(result.stdout)
        ours = compare.gmr_frames(document)
        ends = {thread["id"]: document["stacks"][thread["stack"]].get("end") if "stack" in thread else "no stack" for thread in document["threads"]}
        found, language = [], "rust" if "busy" in str(modules) else None
        for tid in sorted(theirs):
            differ = compare.differences({tid: theirs[tid]}, ours, modules, language)
            if differ and compare.is_lost(theirs[tid], ours.get(tid, []), ends.get(tid, "") is None, modules):
                tally.lost += 1
                if verbose:
                    print("gdb is lost:", *differ)
                continue
            if differ and compare.is_told(theirs[tid], ours.get(tid, []), ends.get(tid), modules):
                tally.told += 1
                if verbose:
                    print("neither knows more:", ends[tid], *differ)
                continue
            found += differ
        tally.stops += 1
        tally.threads += len(theirs)
        tally.guessed += sum(any(frame.kind == "guessed" for frame in frames) for frames in ours.values())
        tally.broken += sum(end is not None for end in ends.values())
        tally.frames += sum(len(f) for f in theirs.values())
        tally.differ += len(found)
        if os.environ.get("AGREE_RAW") and found:
            found.append("".join(text))
        return found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 18)


def run(name, build, stops, options, verbose):
    import tempfile  # pylint: disable=import-outside-toplevel
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="gmr-agree-", dir="/tmp"))
    tmp.chmod(0o755)
    stage, tally, gdbs, seen = Stage(tmp), Tally(), {}, {}
    try:
        pids = PROGRAMS[name](stage)
        time.sleep(1)
        tries = 0
        while tally.stops < stops and tries < stops * 5:
            tries += 1
            time.sleep(random.random() * 0.05)
            alive = [pid for pid in family(pids) if not is_shell(pid) and os.path.exists(f"/proc/{pid}")]
            if not alive:
                continue
            pid = random.choice(sorted(alive))
            exe = os.readlink(f"/proc/{pid}/exe")
            gdb = gdbs.get(exe) or gdbs.setdefault(exe, Gdb())
            try:
                found = look(pid, gdb, build, options, tally, verbose)
            except (ProcessLookupError, FileNotFoundError):
                continue
            for text in found:
                key = re.sub(r"thread \d+|0x[0-9a-f]+", "", text)
                seen.setdefault(key, [0, text])[0] += 1
    finally:
        for gdb in gdbs.values():
            gdb.end()
        stage.close()
        if hasattr(stage, "context"):
            stage.context.close()
        shutil.rmtree(tmp, ignore_errors=True)
    for count, text in sorted(seen.values(), key=lambda v: -v[0]):
        print(f"  {count} x {text}".replace("\n", "\n    "))
    print(f"{name}: {tally}", flush=True)
    return tally


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--stops", default=50, type=int)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("programs", nargs="*")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    whole = Tally()
    for name in arguments.programs or PROGRAMS:
        try:
            tally = run(name, arguments.build.resolve(), arguments.stops, [], arguments.verbose)
        except Missing as reason:
            print(f"{name}: skipped, {reason}")
            continue
        for member in vars(whole):
            setattr(whole, member, getattr(whole, member) + getattr(tally, member))
    print(f"all: {whole}")
    return 1 if whole.differ else 0


if __name__ == "__main__":
    sys.exit(main())
