"""gmr symbolize: a report taken where no symbols are gets its names later, from files or a debuginfod; and the live report, too, when asked."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import collection  # noqa: E402
from common import Skip, check, suite  # noqa: E402

SOURCE = collection.SOURCES / "shapes.c"


def build(t, level="-O1"):
    """target without any symbols; target.debug apart from it."""
    directory = t.directory("built")
    program = directory / "target"
    collection.run("gcc", "-g", level, "-Wno-infinite-recursion", "-o", program, SOURCE, "-pthread")
    collection.run("objcopy", "--only-keep-debug", program, directory / "target.debug")
    collection.run("strip", program)
    return program, directory / "target.debug"


def start(t, program):
    process = t.spawn([program])
    t.wait(lambda: "ready" in process.stdout_text(), "the target", alive=process)
    return process


def functions(document):
    """The program's own frames, all stacks."""
    frames = [f for s in document["stacks"] for f in s["frames"] if f.get("module", "").endswith("/target")]
    return [f.get("function") for f in frames], frames


def report(t, process, *options):
    return t.report(process.pid, "--no-cache", "--sections", "threads,stacks,modules", *options)


@suite.test
def names_come_later_from_a_debug_file(t):
    program, debug = build(t)
    process = start(t, program)
    bare = report(t, process)
    names, frames = functions(bare)
    check("with_alloca" not in names and None in names, "the bare report has names:", names)
    check(all("module_offset" in f and "build_id" in f for f in frames if "function" not in f), "no offset or build id")
    stored = t.tmp / "bare.json"
    stored.write_text(json.dumps(bare))
    result = t.gmr("symbolize", "--file", debug, stored)
    check(result.returncode == 0, result.stderr)
    later = t.valid_json(result.stdout)
    names, frames = functions(later)
    check(None not in names, "frames without a name:", names)
    for name in ("with_alloca", "recurse", "main", "inlined_middle", "split_cold", "many"):
        check(name in names, name, "is missing in", names)
    check(any(f.get("inlined") for f in frames), "no inlined frames")
    check(all(f.get("file", "").endswith("shapes.c") for f in frames if f["function"] != "_start"), "a file is missing")
    text = t.gmr("symbolize", "--file", debug, "--format", "text", stored)
    check("with_alloca" in text.stdout, text.stdout[:500])


@suite.test
def the_same_as_with_symbols_at_hand(t):
    """Without debug information, then symbolized, equals with: frame by frame, tail calls included; the same again
    from the symbol cache."""
    program, debug = build(t, "-O2")
    process = start(t, program)
    stored = t.tmp / "bare.json"
    stored.write_text(json.dumps(report(t, process)))
    cache = t.environment(XDG_CACHE_HOME=str(t.directory("cache")))
    later = json.loads(t.gmr("symbolize", "--file", debug, stored, env=cache).stdout)
    check(list((t.tmp / "cache/gmr").iterdir()), "nothing is in the symbol cache")
    again = json.loads(t.gmr("symbolize", "--file", debug, stored, env=cache).stdout)
    check(again["stacks"] == later["stacks"], "the cache tells something else")
    check(any(f.get("tail_call") for s in later["stacks"] for f in s["frames"]), "no tail call")
    process.stop()
    full = t.directory("full") / "target"
    collection.run("gcc", "-g", "-O2", "-Wno-infinite-recursion", "-o", full, SOURCE, "-pthread")
    other = start(t, full)
    now = report(t, other)

    def stacks(document):
        return sorted(tuple((f.get("function", "?"), f.get("tail_call", False)) for f in s["frames"]
                            if f.get("module", "").endswith("/target")) for s in document["stacks"])

    check(stacks(later) == stacks(now), stacks(later), stacks(now))


@suite.test
def a_file_with_another_build_id_is_not_used(t):
    program, _ = build(t)
    process = start(t, program)
    stored = t.tmp / "bare.json"
    bare = report(t, process)
    stored.write_text(json.dumps(bare))
    program.rename(program.parent / "moved")
    other = t.tmp / "other"
    collection.run("gcc", "-g", "-O1", "-DOTHER=1", "-Wl,--build-id=0x1234567890", "-Wno-infinite-recursion", "-o", other, SOURCE, "-pthread")
    result = t.gmr("symbolize", "--file", other, stored)
    check(result.returncode == 0, result.stderr)
    check(functions(json.loads(result.stdout))[0] == functions(bare)[0], "names of another program")
    check("no file with build id" in result.stderr, result.stderr)


@suite.test
def damaged_reports_are_refused_or_survived(t):
    program, debug = build(t)
    process = start(t, program)
    bare = report(t, process)
    for change in (lambda d: d.update(stacks=[{"frames": [{"pc": "0x1", "module": program.name, "module_offset": "0xffffffffffffffff",
                                                         "build_id": "00"}]}]),
                   lambda d: d.update(modules=[{"path": str(program), "start": "0x0", "end": "0xffffffffffffffff", "build_id": "zz"}]),
                   lambda d: d.update(modules=7, stacks={"a": 1}),
                   lambda d: d.update(stacks=[{"frames": 3}, 5, {"frames": [1, None, {}]}])):
        document = json.loads(json.dumps(bare))
        change(document)
        stored = t.tmp / "damaged.json"
        stored.write_text(json.dumps(document))
        result = t.gmr("symbolize", "--file", debug, stored)
        check(0 <= result.returncode < 8, result.returncode, result.stderr)
    stored.write_text("{")
    check(t.gmr("symbolize", stored).returncode not in (0, -11), "half a document")


class Debuginfod:
    """Debian's debuginfod on loopback, over one directory."""

    def __init__(self, t, directory):
        if not shutil.which("debuginfod") or not shutil.which("debuginfod-find"):
            raise Skip("debuginfod is not installed")
        self.port = t.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        home = t.directory("debuginfod-home")
        self.process = t.spawn(["debuginfod", "-F", "-p", str(self.port), "-d", str(home / "db"), str(directory)],
                               env=t.environment(HOME=str(home), DEBUGINFOD_URLS=None))
        t.wait_port(self.port, alive=self.process)
        t.wait(lambda: "finished" in self.process.stderr_text() or "groomed" in self.process.stderr_text() or
               "scanned" in self.process.stderr_text(), "debuginfod's first scan", alive=self.process)


@suite.test
def a_debuginfod_serves_symbols_when_asked_and_only_then(t):
    program, debug = build(t)
    served = t.directory("served")
    shutil.move(debug, served / "target.debug")
    server = Debuginfod(t, served)
    process = start(t, program)
    cache = t.directory("client-cache")
    environment = t.environment(HOME=str(t.directory("client")), DEBUGINFOD_CACHE_PATH=str(cache), DEBUGINFOD_URLS=server.url)

    def names(*options):
        result = t.gmr("report", process.pid, "--format", "json", "--no-cache", "--sections", "threads,stacks,modules", *options, env=environment)
        check(result.returncode == 0, result.stderr)
        return functions(json.loads(result.stdout))[0], result.stdout

    without, text = names()
    check("with_alloca" not in without and not list(cache.iterdir()), "the server was asked, although nobody wanted it to be")
    t.wait(lambda: "with_alloca" in names(f"--debuginfod={server.url}")[0] or [shutil.rmtree(p, ignore_errors=True) for p in cache.iterdir()] and None,
           "the server to know the file", alive=server.process)
    check("with_alloca" in names("--debuginfod")[0], "the environment's server is not asked when the option has no value")
    stored = t.tmp / "bare.json"
    stored.write_text(text)
    result = t.gmr("symbolize", f"--debuginfod={server.url}", stored, env=environment)
    check("with_alloca" in functions(json.loads(result.stdout))[0], result.stderr)


@suite.test
def a_debuginfod_that_never_answers_costs_its_time_limit(t):
    program, _ = build(t)
    process = start(t, program)
    if not shutil.which("debuginfod-find"):
        raise Skip("debuginfod is not installed")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        result = subprocess.run([t.build("gmr"), "report", str(process.pid), "--format", "json", "--no-cache", f"--debuginfod={url}"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100, check=False,
                                env=t.environment(HOME=str(t.directory("client"))))
        check(result.returncode in (0, 1), result.stderr)
        check(len(t.valid_json(result.stdout.decode())["threads"]) == 15, "threads are missing")


@suite.test
def a_missing_dwo_file_is_said_and_not_remembered(t):
    """What it would tell is not known then; names come from the symbol table, lines from the program itself. In its place may lie anything."""
    for version in ("4", "5"):
        directory, elsewhere = t.directory("split" + version), t.directory("moved" + version)
        program = directory / "target"
        collection.run("gcc", "-g", f"-gdwarf-{version}", "-gsplit-dwarf", "-O1", "-Wno-infinite-recursion", "-o", program, SOURCE, "-pthread", cwd=elsewhere)
        dwo = next(path for where in (directory, elsewhere) for path in where.glob("*.dwo"))
        process = start(t, program)
        environment = t.environment(XDG_CACHE_HOME=str(t.directory("cache" + version)))

        def look(process=process, environment=environment):
            result = t.gmr("report", process.pid, "--format", "json", "--sections", "threads,stacks", env=environment)
            check(result.returncode == 0, result.stderr)
            names, frames = functions(t.valid_json(result.stdout))
            lines = {f["function"]: f.get("line") for f in frames if f.get("file", "").endswith("shapes.c")}
            return names, {f["problem"] for f in frames if "problem" in f}, lines

        kept = t.tmp / "kept.dwo"
        shutil.move(dwo, kept)
        for place in (None, directory / dwo.name, elsewhere / dwo.name):
            if place:
                os.mkfifo(place)
            names, problems, lines = look()
            check("inlined_middle" not in names and "recurse" in names and lines.get("recurse"), version, names, lines)
            check(problems == {"its .dwo file is not there: inlined calls are not known"}, version, place, problems)
            if place:
                place.unlink()
        shutil.move(kept, dwo)
        names, problems, _ = look()
        check("inlined_middle" in names and not problems, version, "what was not known is remembered:", names, problems)


class Bad:
    """A server that answers every request in one way; `answer` writes to the socket's file."""

    def __init__(self, t, answer):
        self.listener, self.answer, self.asked = socket.create_server(("127.0.0.1", 0)), answer, 0
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        t.cleanup(self.listener.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                self.answer_one(self.listener.accept()[0])

    def answer_one(self, client):
        with contextlib.suppress(OSError), client:
            while b"\r\n\r\n" not in client.recv(65536):
                pass
            self.asked += 1
            self.answer(client)


def answers(body, status="200 OK"):
    return lambda client: client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def trickles(client):
    """A byte now and then of a file that never ends."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n\x7fELF")
    while True:
        client.sendall(b"\0")
        time.sleep(0.2)


@suite.test
def a_debuginfod_that_answers_nonsense_names_nothing(t):
    other = build(t, "-O2")[1].read_bytes()
    if not shutil.which("debuginfod-find"):
        raise Skip("debuginfod is not installed")
    directory = t.directory("one")
    program = directory / "target"
    collection.run("gcc", "-g", "-O1", "-Wno-infinite-recursion", "-o", program, SOURCE, "-pthread")
    collection.run("strip", program)
    process = start(t, program)
    for name, answer in {"another build's": answers(other), "garbage": answers(os.urandom(5000)), "a cut file": answers(other[:3000]), "nothing": answers(b""),
                         "html": answers(b"<html>login</html>"), "404": answers(b"no", "404 Not Found"), "500": answers(b"", "500 Oops"),
                         "no HTTP": lambda client: client.sendall(b"hello\n"), "a trickle": trickles}.items():
        server = Bad(t, answer)
        home = t.directory("client " + name)
        result = t.gmr("report", process.pid, "--format", "json", "--no-cache", "--sections", "threads,stacks,modules", f"--debuginfod={server.url}",
                       env=t.environment(HOME=str(home), DEBUGINFOD_CACHE_PATH=str(home), DEBUGINFOD_URLS=None))
        check(result.returncode in (0, 1), name, result.returncode, result.stderr)
        document = t.valid_json(result.stdout)
        check(len(document["threads"]) == 15, name, "threads are missing")
        names, _ = functions(document)
        check("with_alloca" not in names and None in names, "named by", name, names)
        check(server.asked >= 1, name, "was not asked")
        check(name != "a trickle" or server.asked == 1, name, "was asked", server.asked, "times")


if __name__ == "__main__":
    suite.main()
