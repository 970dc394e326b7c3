"""What every end-to-end test stands on: private directories, free ports, own processes ended by pid, waiting for conditions, TAP.

    from common import suite, Skip, check

    @suite.test
    def the_report_names_every_thread(t):
        daemon = t.spawn([t.build("examples/exampled")])
        t.wait(lambda: daemon.stderr_text().count("ready"), "exampled to be ready")
        result = t.gmr("report", str(daemon.pid))
        check(result.returncode == 0, result.stderr)

    suite.main()

Each test gets its own `t`; whatever it started is ended, and its directory removed, when it is over. Nothing here asserts on time;
timeouts exist so that a hang becomes a failure. GMR_BUILD names the build directory (default: build in the project's root).
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GMR_BUILD", ROOT / "build")).resolve()
TIMEOUT = float(os.environ.get("GMR_TEST_TIMEOUT", "120"))
NOBODY = 65534


class Skip(Exception):
    """Raised by a test that can't run here, with the reason."""


def check(condition, message="", *details):
    """An assertion that survives python -O and shows what it saw."""
    if not condition:
        raise AssertionError(" ".join(str(part) for part in (message, *details)))


class Process:
    """A daemon of the test's own, its output in files."""

    def __init__(self, popen, stdout, stderr):
        self.popen, self.stdout, self.stderr = popen, stdout, stderr
        self.pid = popen.pid

    def alive(self):
        return self.popen.poll() is None

    def stdout_text(self):
        return self.stdout.read_text(errors="replace") if self.stdout else ""

    def stderr_text(self):
        return self.stderr.read_text(errors="replace") if self.stderr else ""

    def kill(self, number):
        os.kill(self.pid, number)

    def stop(self, number=signal.SIGTERM, timeout=20):
        """Ends it; the exit status (negative: the signal's number)."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
                os.kill(self.pid, signal.SIGCONT)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode


class Client:
    """Calls request() over and over on a thread, and counts answers and errors."""

    def __init__(self, request, pause=0.002):
        self.request, self.pause = request, pause
        self.answers, self.errors, self.first_error = 0, 0, None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def _loop(self):
        while not self._end.is_set():
            try:
                self.request()
                self.answers += 1
            except Exception as error:  # pylint: disable=broad-except
                self.errors += 1
                self.first_error = self.first_error or repr(error)
            time.sleep(self.pause)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(TIMEOUT)


class Context:
    """What a test works with."""

    def __init__(self, name):
        self.name = name
        # Not under $TMPDIR: a control socket's path is bounded to 107 bytes.
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="gmr-e2e-", dir="/tmp"))
        self.tmp.chmod(0o755)
        self._processes, self._cleanups = [], []

    def build(self, path):
        """A file of the build directory, which must be there."""
        found = BUILD / path
        check(found.exists(), f"{found} has not been built")
        return str(found)

    def directory(self, name, uid=None):
        path = self.tmp / name
        path.mkdir(exist_ok=True)
        if uid is not None:
            os.chown(path, uid, uid)
        return path

    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def environment(self, **changes):
        """An environment without the caller's GMR_* and LD_*; a value of None removes a name."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GMR_", "LD_"))}
        kept.update(changes)
        return {k: v for k, v in kept.items() if v is not None}

    def spawn(self, argv, user=None, env=None, cwd=None, **options):
        """Starts a process of this test's. user: a uid to run as (root only)."""
        number = len(self._processes)
        out, err = self.tmp / f"out.{number}", self.tmp / f"err.{number}"
        if user is not None:
            options.update(user=user, group=user, extra_groups=[])
        # In append mode, as a daemon's log is: two writers do not overwrite each other.
        with open(out, "ab") as stdout, open(err, "ab") as stderr:
            if "stdout" in options:
                out = None
            if "stderr" in options:
                err = None
            # A session of its own: apache2 ends its whole process group when it is ended.
            options = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr, "start_new_session": True, **options}
            popen = subprocess.Popen([str(a) for a in argv], env=env or self.environment(), cwd=cwd or self.tmp, **options)
        process = Process(popen, out, err)
        self._processes.append(process)
        return process

    def cleanup(self, function, *arguments):
        self._cleanups.append((function, arguments))

    def wait(self, condition, what="a condition", timeout=TIMEOUT, alive=None):
        """Waits until condition() is true and returns its value; fails early when the process `alive` ends."""
        end = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if alive is not None and not alive.alive():
                raise AssertionError(f"process ended ({alive.popen.returncode}) while waiting for {what}: {alive.stderr_text()[-2000:]}")
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {timeout:.0f} s")
            time.sleep(0.01)

    def freeze(self, pid):
        """Stops a process and waits until every thread of it stands: each does so for itself, the leader not last."""
        def states():
            tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/stat")
            return {path.read_text(errors="replace").rsplit(")", 1)[1].split()[0] for path in tasks}
        os.kill(pid, signal.SIGSTOP)
        self.wait(lambda: states() == {"T"}, "all threads to stop")

    def wait_port(self, port, alive=None):
        def connects():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
        self.wait(connects, f"somebody to listen on port {port}", alive=alive)

    def gmr(self, *arguments, **options):
        """Runs the gmr command; CompletedProcess with text output."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        if "user" in options:
            options.update(group=options["user"], extra_groups=[])
        options.setdefault("env", self.environment())
        return subprocess.run([self.build("gmr"), *map(str, arguments)], timeout=TIMEOUT, cwd=options.pop("cwd", self.tmp),
                              encoding="utf-8", errors="replace", check=False, **options)

    def report(self, pid, *options, codes=(0,)):
        """gmr report PID --format json, validated; the parsed document."""
        result = self.gmr("report", str(pid), "--format", "json", *options)
        check(result.returncode in codes, f"gmr report ended with {result.returncode}:", result.stderr, result.stdout[-1000:])
        return self.valid_json(result.stdout)

    def core_of(self, process):
        """A core file of a process that goes on running."""
        if not shutil.which("gcore"):
            raise Skip("there is no gcore (gdb)")
        result = subprocess.run(["gcore", "-o", self.tmp / "core", str(process.pid)], capture_output=True, text=True, timeout=120,
                                check=False, stdin=subprocess.DEVNULL)
        check(result.returncode == 0, result.stdout, result.stderr)
        return self.tmp / f"core.{process.pid}"

    def valid_json(self, text):
        """Parses a JSON report and checks it against the schema that ships."""
        document = json.loads(text)
        import validate  # pylint: disable=import-outside-toplevel
        validate.validate_json(document)
        return document

    def valid_xml(self, text):
        import validate  # pylint: disable=import-outside-toplevel
        return validate.validate_xml(text.encode() if isinstance(text, str) else text)

    def close(self):
        for function, arguments in reversed(self._cleanups):
            with contextlib.suppress(Exception):
                function(*arguments)
        for process in reversed(self._processes):
            process.stop()
        shutil.rmtree(self.tmp, ignore_errors=True)


# ---------------------------------------------------------------------------------------------- what reports say


def stack_of(document, thread):
    """The frames of a thread of a JSON report, innermost first."""
    index = thread.get("stack")
    return document["stacks"][index]["frames"] if index is not None else []


def functions(document, thread):
    return [frame.get("function", "") for frame in stack_of(document, thread)]


STARTS = {"_start", "clone", "clone3", "__clone", "__clone3", "start_thread", "__libc_start_main", "__libc_start_call_main",
          "__libc_start_main_impl", "_dl_start_user", "__clone_internal"}


def ends_at_start(document, thread):
    """Does the stack go all the way to where the thread began?"""
    names = functions(document, thread)
    # A stripped executable has no name for its _start, which __libc_start_main returns to.
    if len(names) > 1 and not names[-1]:
        return names[-2].startswith("__libc_start_main")
    return bool(names) and names[-1] in STARTS


def check_threads(document, pid):
    """Every thread of the process has a stack that ends in its start routine."""
    tids = {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    shown = {thread["id"] for thread in document["threads"]}
    check(tids & shown, "no thread of", pid, "is in the report")
    for thread in document["threads"]:
        check(ends_at_start(document, thread), f"thread {thread['id']} ({thread.get('name')}) has the stack",
              functions(document, thread), document["stacks"][thread["stack"]].get("end") if "stack" in thread else thread)
    return shown


# ---------------------------------------------------------------------------------------------- running


class Suite:
    def __init__(self):
        self.tests = []

    def test(self, function):
        self.tests.append(function)
        return function

    def main(self):
        """Runs the tests (or those named on the command line), TAP on standard output, and exits."""
        sys.path.insert(0, str(pathlib.Path(__file__).parent))
        wanted = sys.argv[1:]
        chosen = [test for test in self.tests if not wanted or test.__name__ in wanted]
        failed = 0
        print(f"1..{len(chosen)}", flush=True)
        for number, function in enumerate(chosen, 1):
            name = function.__name__.replace("_", " ")
            context = Context(function.__name__)
            try:
                function(context)
                print(f"ok {number} - {name}", flush=True)
            except Skip as reason:
                print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            except BaseException:  # pylint: disable=broad-except
                failed += 1
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}")
                print(f"not ok {number} - {name}", flush=True)
            finally:
                context.close()
        sys.exit(1 if failed else 0)


suite = Suite()
