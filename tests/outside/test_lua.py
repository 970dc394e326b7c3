"""Coroutines of Lua 5.4 in a program that knows nothing of gmr: all of each state's, with their calls."""
import shutil
import subprocess

from common import Skip, check, suite
from source import HERE, run


def start(t):
    program = t.tmp / "lua_embedded"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "lua5.4"], capture_output=True, text=True, check=False) \
        if shutil.which("pkg-config") else None
    if flags is None or flags.returncode != 0:
        raise Skip("there is no Lua to build with (liblua5.4-dev)")
    result = subprocess.run([shutil.which("gcc") or "cc", "-O1", HERE / "lua_embedded.c", "-o", program,
                             *flags.stdout.split()], capture_output=True, text=True, timeout=120, check=False)
    check(result.returncode == 0, result.stderr)
    process = t.spawn([program])
    t.wait(lambda: "ready" in process.stdout_text(), "the coroutines to stand", alive=process)
    return process


@suite.test
def all_of_both_states_and_none_of_the_closed(t):
    document = t.report(start(t).pid)
    green = document["green_threads"]
    check({x["kind"] for x in green} == {"lua"}, green)
    check(len({x["address"] for x in green}) == len(green), "twice the same:", green)

    def calls(thread):
        stack = thread.get("stack")
        frames = [] if stack is None else document["stacks"][stack]["frames"]
        return [(f.get("function"), f.get("file"), f.get("line")) for f in frames if f.get("language") == "lua"]
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
