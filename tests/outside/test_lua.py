"""Coroutines of Lua in programs that know nothing of gmr, Debian's haproxy, nmap and redis among them: all of each state's, with their calls."""
import os
import shutil
import signal
import socket
import subprocess

from common import Skip, check, suite
from source import HERE, run


def start(t, library="lua5.4", *arguments):
    program = t.tmp / "lua_embedded"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", library], capture_output=True, text=True, check=False) \
        if shutil.which("pkg-config") else None
    if flags is None or flags.returncode != 0:
        raise Skip(f"there is no {library} to build with")
    result = subprocess.run([shutil.which("gcc") or "cc", "-O1", HERE / "lua_embedded.c", "-o", program,
                             *flags.stdout.split()], capture_output=True, text=True, timeout=120, check=False)
    check(result.returncode == 0, result.stderr)
    process = t.spawn([program, *arguments])
    t.wait(lambda: "ready" in process.stdout_text(), "the coroutines to stand", alive=process)
    return process


def whole(t, process):
    """A report; again where the stop's time did not last, as it may not on a loaded machine."""
    def report():
        document = t.report(process.pid, codes=(0, 1))
        return document if document["report"]["status"] == "complete" else None
    return t.wait(report, "a whole report", alive=process)


def calls_of(document, thread):
    stack = thread.get("stack")
    frames = [] if stack is None else document["stacks"][stack]["frames"]
    return [(f.get("function"), f.get("file"), f.get("line")) for f in frames if f.get("language") == "lua"]


def all_of_both_states_and_none_of_the_closed(t, library, *arguments):
    document = whole(t, start(t, library, *arguments))
    green = document["green_threads"]
    check({x["kind"] for x in green} == {"lua"}, green)
    check(len({x["address"] for x in green}) == len(green), "twice the same:", green)

    def calls(thread):
        return calls_of(document, thread)
    for name, count in (("first.lua", 3), ("second.lua", 200)):
        mine = [x for x in green if any(call[1] == name for call in calls(x))]
        suspended = [x for x in mine if x["state"] == "suspended"]
        check(len(suspended) == count, name, len(suspended), len(mine), len(green))
        for thread in suspended:
            check(calls(thread)[1:] == [("inner", name, 2), (f"function <{name}:5>", name, 6)], calls(thread))
        check(sum(x["state"] == "new" for x in mine) == 1, mine)
    main, = [x for x in green if x.get("name") == "main"]
    check(main["state"] == "running" and calls(main)[1] == ("main chunk", "second.lua", 15), main, calls(main))
    check(not any(call[1] == "closed.lua" for x in green for call in calls(x)), green)


def add_version(version):
    def test(t):
        all_of_both_states_and_none_of_the_closed(t, "lua" + version)
    test.__name__ = "states_of_lua_" + version.replace(".", "_")
    suite.test(test)


for number in ("5.1", "5.2", "5.3", "5.4"):
    add_version(number)


@suite.test
def a_state_in_more_memory_than_is_searched(t):
    """As in a redis with much data: a variable points to it."""
    for library in ("lua5.1", "lua5.4"):
        all_of_both_states_and_none_of_the_closed(t, library, "large")


@suite.test
def luajit_is_said_not_to_be_read(t):
    document = t.report(start(t, "luajit").pid, codes=(1,))
    check(document["green_threads"] == [], document["green_threads"])
    entry, = [x for x in document["report"]["sections"] if x["name"] == "green_threads"]
    check(entry["status"] == "partial" and "LuaJIT" in entry["reason"], entry)


def listens(t, port, process):
    t.wait_port(port, alive=process)
    return socket.create_connection(("127.0.0.1", port))


@suite.test
def a_task_and_a_service_of_haproxy(t):
    if not shutil.which("haproxy", path="/usr/sbin:" + os.environ["PATH"]):
        raise Skip("there is no haproxy")
    port, script = t.free_port(), t.tmp / "wait.lua"
    script.write_text("local function wait_for_peer()\n  core.msleep(100000000)\nend\n"
                      "core.register_task(function()\n  while true do\n    wait_for_peer()\n  end\nend)\n"
                      "core.register_service('slow', 'http', function(applet)\n  core.sleep(3000)\n  applet:start_response()\nend)\n")
    (t.tmp / "haproxy.cfg").write_text(f"global\n  lua-load {script}\n  nbthread 2\ndefaults\n  mode http\n  timeout client 1h\n"
                                       "  timeout server 1h\n  timeout connect 1s\n"
                                       f"frontend f\n  bind 127.0.0.1:{port}\n  http-request use-service lua.slow\n")
    process = t.spawn(["/usr/sbin/haproxy", "-db", "-f", t.tmp / "haproxy.cfg"])
    with listens(t, port, process) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")

        def both():
            document = t.report(process.pid, codes=(0, 1))
            green = document["green_threads"]
            return (document, green) if sum(x["state"] == "suspended" for x in green) == 2 else None
        document, green = t.wait(both, "the task and the service to sleep", alive=process)
        check(len(green) == 2, green)
        file = str(script)
        check(sorted(calls_of(document, x) for x in green) ==
              [[("msleep", None, None), ("wait_for_peer", file, 2), (f"function <{file}:4>", file, 6)],
               [("sleep", None, None), (f"function <{file}:9>", file, 10)]], [calls_of(document, x) for x in green])


@suite.test
def a_script_of_nmap(t):
    """The coroutine in which a script runs, and the engine that resumes it."""
    if not shutil.which("nmap"):
        raise Skip("there is no nmap")
    script = t.tmp / "hold.nse"
    script.write_text("local stdnse = require 'stdnse'\ndescription = 'waits'\ncategories = {'safe'}\n"
                      "prerule = function() return true end\nlocal function hold()\n  stdnse.sleep(100000)\nend\n"
                      "action = function()\n  hold()\nend\n")
    process = t.spawn(["nmap", "-Pn", "-p", "1", "--script", script, "127.0.0.1"])

    def waiting():
        document = t.report(process.pid, codes=(0, 1))
        calls = [calls_of(document, x) for x in document["green_threads"] if x["state"] == "suspended"]
        return [call for call in calls if any(frame[1] == str(script) for frame in call)]
    calls, = t.wait(waiting, "the script to sleep", alive=process)
    check([frame[::2] for frame in calls] == [("sleep", None), ("hold", 6), (f"function <{script}:8>", 9)], calls)


@suite.test
def a_script_that_redis_can_not_leave(t):
    """Redis answers BUSY and no more; the report says in which line of which function the script is."""
    port = t.free_port()
    process = t.spawn(["redis-server", "--port", port, "--save", "", "--dir", t.tmp])
    with listens(t, port, process) as client:
        body = "local function spin(n)\n while true do n = n + 1 end\nend\nspin(0)"
        client.sendall(f"*3\r\n$4\r\nEVAL\r\n${len(body)}\r\n{body}\r\n$1\r\n0\r\n".encode())

        def running():
            document = t.report(process.pid, codes=(0, 1))
            return [calls_of(document, x) for x in document["green_threads"] if x["state"] == "running"]
        calls, = t.wait(running, "the script to run", alive=process)
    process.stop(signal.SIGKILL)  # it hears no other
    check([(frame[0], frame[2]) for frame in calls][-1:] == [("main chunk", 4)] and calls[0][1:] == ("user_script", 2), calls)


@suite.test
def the_interpreter_itself(t):
    """Debian's lua5.4 has Lua linked in, and a symbol table for its modules."""
    if not shutil.which("lua5.4"):
        raise Skip("there is no lua5.4")
    (t.tmp / "script.lua").write_text("c = coroutine.wrap(function()\n  coroutine.yield()\nend)\nc()\n"
                                      "print('ready')\nio.stdout:flush()\nio.read()\n")
    process = t.spawn(["lua5.4", "script.lua"], stdin=subprocess.PIPE)
    t.wait(lambda: "ready" in process.stdout_text(), "the script to wait", alive=process)
    stacks, notes = run(t, process.pid, "lua")
    check(notes == "", notes)
    places = [[frame[1:] for frame in s.frames if frame[1].endswith("script.lua")] for s in stacks]
    check(sorted(places) == [[["script.lua", 2]], [["script.lua", 7]]], places)


@suite.test
def memory_that_lies_does_no_harm(t):
    process = start(t)
    for seed in range(1, 21):
        run(t, process.pid, "lua", 2 + seed % 5, seed)
    check(process.alive())


suite.main()
