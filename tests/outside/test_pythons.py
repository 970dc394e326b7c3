"""CPython, greenlet, eventlet and gevent of other Debians, unpacked by tools/check-pythons --fetch: each put to the tests of Debian's own."""
import os
import pathlib

from common import BUILD, Skip, check, suite
from python_truth import Python, check_busy, compare
from source import run


def pythons():
    roots = sorted(pathlib.Path(os.environ.get("GMR_TEST_PYTHONS", BUILD / "pythons")).glob("*/sys"))
    if not roots:
        raise Skip("no other Pythons (tools/check-pythons --fetch gets them)")
    for root in roots:
        programs = [path for path in (root / "usr/bin").glob("python3.*") if path.name[8:].isdigit()]
        check(len(programs) == 1, programs)
        yield root.parent.name, Python(f"/usr/bin/{programs[0].name}", root)


@suite.test
def threads_greenlets_and_tasks_are_those_the_program_sees(t):
    for name, python in pythons():
        process, truth = python.start(t)
        print(f"# {name}: Python {truth['version']}, {len(truth['greenlets'])} greenlets", flush=True)
        stacks, notes = run(t, process.pid, "python")
        check(notes == "", name, notes)
        compare(truth, stacks)
        check(len(truth["greenlets"]) == 9, name, truth["greenlets"])
        process.stop()


@suite.test
def eventlet_s_green_threads_are_found_while_they_run(t):
    for name, python in pythons():
        print(f"# {name}", flush=True)
        check_busy(t, python, "eventlet", 300, 2)


@suite.test
def gevent_s_green_threads_are_found_while_they_run(t):
    for name, python in pythons():
        print(f"# {name}", flush=True)
        check_busy(t, python, "gevent", 300, 2)


suite.main()
