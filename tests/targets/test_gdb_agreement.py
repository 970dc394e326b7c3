"""Each thread's list of functions, as gmr tells it, against `gdb -batch -ex 'thread apply all bt'`: on the same stopped process and on its core.

Every target of collection.py is built, run until its threads stand (or, where they never do, until they run), and stopped by SIGSTOP. Then
gdb looks, gmr looks, the process dumps core, and both look at that. A subtest a target, named after it; `TARGET=name` runs one.

Where gdb is wrong, and the difference therefore forgiven (all of it is here and in compare.py):
  - jit: gdb knows nothing of such code and loses its way there; what the stack is stands in the collection (`expected`).
  - musl: Debian builds it without call-frame information, and gdb's guesses at its functions go astray (?? and arguments taken for
    return addresses). The frames before that must agree, what gmr shows beyond must be marked as guessed and lead back to the program's own functions.
  - tail calls of functions with a cold part split off: gdb 13 gives up (munmap_chunk).
  - tail calls to a versioned function (pthread_kill): gdb takes an old version of it for the one that was called.
  - code made at run time in a core: its names are gone with the process; the frames must be there.
  - cores of programs and libraries that were deleted or replaced since: gdb would take whatever file lies there now. Of such a file no name may be
    shown; all others' are.
  - lambdas: gdb prints `operator()` without whose it is. Rust: the same functions under gdb's own kind of name.
"""
import concurrent.futures
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import collection  # noqa: E402
import compare  # noqa: E402

BUILD = pathlib.Path(os.environ.get("GMR_BUILD", "build")).resolve()
WORK = pathlib.Path(os.environ.get("GMR_TARGETS", BUILD / "tests/targets/built"))
GMR = str(BUILD / "gmr")
WAIT = 120


class Skip(Exception):
    pass


def wait_for(condition, what):
    end = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {WAIT} s")
        time.sleep(0.01)


class Running:
    """A target that runs, stopped and let go as often as one likes; ended by pid at the end."""

    def __init__(self, target, program, directory, temporary):
        self.target, self.directory, self.temporary = target, directory, temporary
        command = [str(program)]
        self.prefix = []
        if target.hide_debug:
            command = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                       'mount -t tmpfs none /usr/lib/debug && exec "$0"', *command]
        elif target.debug_root:
            command = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                       f'mkdir -p /tmp/$$.debug; cp -a {directory / target.debug_root}/. "{temporary}/debug"; '
                       f'cp -a /usr/lib/debug/.build-id/. "{temporary}/debug/.build-id" 2>/dev/null; rmdir /tmp/$$.debug; '
                       f'mount --bind "{temporary}/debug" /usr/lib/debug && exec "$0"', *command]
            (temporary / "debug").mkdir()
        elif target.user:
            self.prefix = ["setpriv", "--reuid", str(target.user), "--regid", str(target.user), "--clear-groups"]
            os.chown(temporary, target.user, target.user)  # it writes its core there
            command = [*self.prefix, str(shutil.copy(program, temporary / "target"))]
        elif target.container:
            command = ["unshare", "-m", "-p", "-f", "--kill-child", "--propagation", "private", "chroot",
                       str(self.make_root(program)), "/bin/target"]
        self.output = open(temporary / "out", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, cwd=temporary,
                                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
        self.pid = self.process.pid
        wait_for(lambda: b"ready" in (temporary / "out").read_bytes() or self.process.poll() is not None, f"start of {target.name}")
        if self.process.poll() is not None:
            raise AssertionError(f"{target.name} ended: {(temporary / 'out').read_bytes()!r}")
        if target.container:
            self.pid = int(pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])
        if target.hide_debug or target.debug_root:
            self.prefix = ["nsenter", "-m", "-t", str(self.pid)]

    def make_root(self, program):
        root = self.temporary / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy(program, root / "bin/target")
        for line in collection.run("ldd", program).splitlines():
            for word in line.split():
                if word.startswith("/"):
                    (root / word[1:]).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(os.path.realpath(word), root / word[1:])
        return root

    def states(self):
        states = []
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            states.append((task / "stat").read_text().rpartition(")")[2].split()[0])
        return states

    def stop(self):
        if not (self.target.stops > 1):
            wait_for(lambda: all(s == "S" for s in self.states()), "rest")
        os.kill(self.pid, signal.SIGSTOP)
        wait_for(lambda: all(s in "Tt" for s in self.states()), "stop")

    def go(self):
        os.kill(self.pid, signal.SIGCONT)

    def dump(self):
        """The core that the kernel writes; None where it goes elsewhere."""
        if self.target.container:  # the first process of its namespace: the kernel lets no signal of ours end it with a core
            collection.run("gcore", "-o", self.temporary / "core", str(self.pid))
            return self.temporary / f"core.{self.pid}"
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if "/" in pattern or pattern.startswith("|"):
            return None
        os.kill(self.pid, signal.SIGABRT)
        self.go()
        self.process.wait(WAIT)
        cores = [p for p in self.temporary.iterdir() if p.name.startswith("core")]
        return cores[0] if cores else None

    def end(self):
        for pid in {self.pid, self.process.pid}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(WAIT)
        self.output.close()
        perf_map = pathlib.Path(f"/tmp/perf-{self.pid}.map")
        if self.target.name == "jit" and perf_map.exists():
            perf_map.unlink()


def limits(target):
    options = ["--no-cache", "--max-frames", str(target.frames or 10000)]
    return options


def judge(target, theirs, ours, modules, expected):
    if expected:
        tids = sorted(theirs)
        return compare.differences({tids[1]: [compare.Frame(name) for name in expected]}, ours, modules)
    if target.without_cfi:
        return compare.differences_until_lost(theirs, ours, modules)
    return compare.differences(theirs, ours, modules, target.language)


def look(target, running, directory, agreed):
    """One stop: gdb, then gmr, then again the other way round would change nothing: neither moves the process."""
    modules = compare.mapped_files(running.pid)
    running.stop()
    theirs, output = compare.gdb(["-p", str(running.pid), "-ex", "thread apply all bt"], running.prefix)
    if not theirs:
        raise AssertionError("gdb told nothing:\n" + output[-2000:])
    if target.after and agreed["stops"] == 0:
        target.after(target, directory)
    options = [*limits(target), "--sections", "threads,stacks"]
    if target.stack_bytes:
        options += ["--max-stack-bytes", str(target.stack_bytes)]
    ours, _ = compare.gmr([GMR, "report", str(running.pid), *options], running.prefix)
    found = judge(target, theirs, ours, modules, target.expected)
    agreed["stops"] += 1
    agreed["threads"] += len(theirs)
    agreed["differ"] += len(found)
    if "T" not in "".join(running.states()).upper():
        found.append("the process was not left stopped")
    return found, theirs, modules


def gone(target, ours):
    """A core does not hold the machine code and names of a file that was deleted or replaced since: no name of that file may be shown, least of all
    those of the file that lies there now. Other files' names are as ever."""
    own = {"wait_here", "recurse", "with_alloca", "thread", "many", "inlined_middle"} | ({"main"} if not target.library else set())
    names = [frame.name for frames in ours.values() for frame in frames]
    found = [f"a name out of nothing: {name}" for name in sorted(own.intersection(names))]
    if not {"pause", "__libc_pause", "__GI___libc_pause"}.intersection(names):
        found.append(f"no name of libc's: {names}")
    return found


def look_at_core(target, running, program, live, modules, agreed):
    core = running.dump()
    if core is None:
        return []
    if target.after or target.container:
        theirs = live  # gdb would take whatever file lies there now, or here at a path of the container's
    else:
        theirs, _ = compare.gdb([str(program), str(core), "-ex", "thread apply all bt"], ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /usr/lib/debug && exec \"$@\"", "-"]
                                if target.hide_debug else [])
    named = [] if target.after else [str(program)]
    ours, _ = compare.gmr([GMR, "core", *limits(target), str(core), *named], ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /usr/lib/debug && exec \"$@\"", "-"]
                               if target.hide_debug else [])
    # Nobody tells the names of code made at run time once its process is gone.
    expected = [None if name == "jit_function" else name for name in target.expected or ()]
    found = gone(target, ours) if target.after else judge(target, theirs, ours, modules, expected)
    agreed["threads"] += len(theirs)
    agreed["differ"] += len(found)
    return [f"in the core: {text}" for text in found]


def check(target):
    if target.root_only and os.geteuid() != 0:
        raise Skip("needs root")
    program = target.build(WORK)
    directory = WORK / target.name
    agreed = {"stops": 0, "threads": 0, "differ": 0}
    with tempfile.TemporaryDirectory(prefix="gmr-targets-", dir="/tmp") as temporary:
        if target.after:  # these are destroyed: work on a copy
            copy = pathlib.Path(temporary) / "copy"
            shutil.copytree(directory, copy)
            directory, program = copy, copy / "target"
        running = Running(target, program, directory, pathlib.Path(temporary))
        found, live, modules = [], {}, ()
        try:
            for stop in range(target.stops):
                more, live, modules = look(target, running, directory, agreed)
                found += more
                if stop + 1 < target.stops:
                    running.go()
            if target.core and not target.debug_root:
                found += look_at_core(target, running, program, live, modules, agreed)
        finally:
            running.end()
    return found, agreed


def main():
    only = os.environ.get("TARGET")
    targets = [t for t in collection.TARGETS if not only or t.name in only.split(",")]
    if not shutil.which("gdb"):
        print("1..0 # SKIP gdb is not installed")
        return 0
    print("TAP version 13")
    print(f"1..{len(targets)}", flush=True)
    failed, threads, differ = 0, 0, 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        jobs = [(target, pool.submit(check, target)) for target in targets]
        for number, (target, job) in enumerate(jobs, 1):
            try:
                found, agreed = job.result()
            except (Skip, collection.Missing) as reason:
                print(f"ok {number} - {target.name} # SKIP {reason}", flush=True)
                continue
            except Exception as error:  # pylint: disable=broad-except
                found, agreed = [f"{type(error).__name__}: {error}"], {"threads": 0, "differ": 0}
            threads += agreed["threads"]
            differ += agreed["differ"]
            for text in found:
                for line in text.splitlines():
                    print(f"# {line}")
            failed += bool(found)
            print(f"{'not ok' if found else 'ok'} {number} - {target.name}", flush=True)
    print(f"# {threads - differ} of {threads} threads agree with gdb")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
