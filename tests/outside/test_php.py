"""PHP's fibers: which there are, with PHP's functions, files and lines beside the C frames; and what PHP's OS thread does."""
import json
import shutil
import subprocess

from common import Skip, check, functions, suite
from source import run

SCRIPT = r"""<?php
namespace App;
class Job {
  function deep($n) {
    return $n > 0 ? $this->deep($n - 1) : \Fiber::suspend();
  }
}
$fibers = [];
for ($i = 0; $i < 50; $i++) {
  $f = new \Fiber(function () use ($i) {
    $job = new Job;
    while (true)
      $job->deep($i % 7);
  });
  $f->start();
  $fibers[] = $f;
}
for ($i = 0; $i < 2000; $i++) $fibers[rand(0, 49)]->resume();
$gone = new \Fiber(fn() => 1);
$gone->start();
function fresh() {}
$new = new \Fiber('App\fresh');
function outer($inner) {
  $inner->start();
}
function wait() {
  echo "ready\n";
  while (true) sleep(1000);
}
$inner = new \Fiber(function () { wait(); });
$outer = new \Fiber(function () use ($inner) { outer($inner); });
if ($argv[1] === 'nested') $outer->start();
wait();
"""
WAIT = [("sleep", None), ("App\\wait", 28)]


def start(t, which):
    if not shutil.which("php") or subprocess.run(["php", "-r", "exit(class_exists('Fiber') ? 0 : 1);"], check=False).returncode != 0:
        raise Skip("there is no PHP with fibers (php-cli)")
    (t.tmp / "fibers.php").write_text(SCRIPT)
    process = t.spawn(["php", "fibers.php", which])
    t.wait(lambda: "ready" in process.stdout_text(), "the fibers to stand", alive=process)
    t.wait(lambda: "nanosleep" in (t.gmr("report", process.pid, "--sections", "threads").stdout), "the script to sleep", alive=process)
    return process


def whole(t, process):
    """A report; again where the stop's time did not last, as it may not on a loaded machine."""
    def report():
        document = t.report(process.pid, codes=(0, 1))
        return document if document["report"]["status"] == "complete" else None
    return t.wait(report, "a whole report", alive=process)


def calls(document, thread):
    """PHP's calls, innermost first: function and line."""
    frames = document["stacks"][thread["stack"]]["frames"] if "stack" in thread else []
    check(all(f.get("file", "").endswith("fibers.php") for f in frames if f.get("language") == "php" and "line" in f), frames)
    return [(f.get("function"), f.get("line")) for f in frames if f.get("language") == "php"]


def check_fifty(document):
    green = [x for x in document["green_threads"] if not x.get("idle")]
    check({x["kind"] for x in document["green_threads"]} == {"PHP fiber"}, green)
    mine = [x for x in green if any(name == "App\\Job::deep" for name, _ in calls(document, x))]
    check(len(mine) == 50 and all(x["state"] == "suspended" for x in mine), len(mine), len(green))
    depths = {}
    for thread in mine:
        deep = calls(document, thread)
        check(deep[0][0] == "Fiber::suspend" and deep[-1] == ("App\\{closure}", 13) and
              deep[1:-1] == (len(deep) - 2) * [("App\\Job::deep", 5)], deep)
        depths[len(deep) - 2] = depths.get(len(deep) - 2, 0) + 1
        check("zend_fiber_switch_context" in functions(document, thread), functions(document, thread))
    check(depths == {1: 8, **{n: 7 for n in range(2, 8)}}, depths)
    return [x for x in green if x not in mine]


@suite.test
def those_that_wait_and_what_the_script_does(t):
    document = whole(t, start(t, "plain"))
    others = check_fifty(document)
    fresh = [x for x in others if calls(document, x) == [("App\\fresh", 21)]]
    check(len(others) == 3 and len(fresh) == 1 and {x["state"] for x in others} == {"new"}, others)
    check(sum(x.get("idle", False) for x in document["green_threads"]) == 1, "the one that has ended")
    check(calls(document, document["threads"][0]) == [*WAIT, ("main script", 33)], calls(document, document["threads"][0]))


@suite.test
def one_that_runs_in_another(t):
    document = whole(t, start(t, "nested"))
    others = [x for x in check_fifty(document) if x["state"] != "new"]
    # The leader is what the OS thread did before: its C stack alone.
    leader, = [x for x in others if x.get("name") == "leader"]
    running, = [x for x in others if x["state"] == "running"]
    outer, = [x for x in others if x not in (leader, running)]
    check(calls(document, running) == [*WAIT, ("App\\{closure}", 30)], calls(document, running))
    check(calls(document, outer) == [("Fiber::start", None), ("App\\outer", 24), ("App\\{closure}", 31)], calls(document, outer))


@suite.test
def from_a_core_file(t):
    core = t.core_of(start(t, "plain"))
    document = json.loads(t.gmr("core", core, "--format", "json").stdout)
    check(len(check_fifty(document)) == 3)


@suite.test
def memory_that_lies_does_no_harm(t):
    process = start(t, "nested")
    for seed in range(1, 21):
        run(t, process.pid, "php", 2 + seed % 7, seed)
    check(process.alive())


suite.main()
