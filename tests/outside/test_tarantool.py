"""Tarantool's fibers against its own fiber.info()."""
import json
import shutil

from common import Skip, check, suite
from source import run

SCRIPT = """
local fiber = require('fiber')
local json = require('json')
box.cfg{log_level = 1, memtx_memory = 33554432, wal_mode = 'none'}
local channel = fiber.channel(0)
for i = 1, 20 do
    local f = fiber.create(function() if i % 2 == 0 then channel:get() else fiber.sleep(3600) end end)
    f:name('mine-' .. i)
end
fiber.sleep(0.3)
local found = {}
for id, info in pairs(fiber.info()) do found[tostring(id)] = info.name end
local file = io.open('truth.json.new', 'w')
file:write(json.encode(found))
file:close()
os.rename('truth.json.new', 'truth.json')
fiber.sleep(3600)
"""


def start(t):
    if not shutil.which("tarantool"):
        raise Skip("there is no tarantool")
    (t.tmp / "script.lua").write_text(SCRIPT)
    process = t.spawn(["tarantool", "script.lua"])
    truth = t.tmp / "truth.json"
    t.wait(truth.exists, "the fibers to stand", alive=process)
    return process, json.loads(truth.read_text())


@suite.test
def every_fiber_by_number_and_name(t):
    process, truth = start(t)
    document = t.report(process.pid)
    fibers = {str(x["id"]): x for x in document["green_threads"] if x["kind"] == "tarantool fiber"}
    names = {number: fiber.get("name") for number, fiber in fibers.items()}
    # Tarantool's own come and go; the script's stand.
    mine = {number: name for number, name in names.items() if name.startswith("mine-")}
    check(mine == {number: name for number, name in truth.items() if name.startswith("mine-")}, names, "are not", truth)
    own = {name for name in names.values() if not name.startswith("mine-")}
    check({"gc", "checkpoint_daemon", "memtx.gc"} <= own, own, "are not", truth)
    for number, name in truth.items():
        if not name.startswith("mine-"):
            continue
        functions = [f.get("function", "") for f in document["stacks"][fibers[number]["stack"]]["frames"]]
        check(any("fiber_yield" in f or "fiber_sleep" in f or "fiber_channel" in f for f in functions), functions)
        check(any("lua_fiber_run_f" in f or "fiber_loop" in f for f in functions), functions)


@suite.test
def memory_that_lies_does_no_harm(t):
    process, _ = start(t)
    for seed in range(1, 21):
        run(t, process.pid, "tarantool", 2 + seed % 7, seed)
    check(process.alive())


suite.main()
