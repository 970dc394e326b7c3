"""What tests of CPython share: starting pythons.py and greens_busy.py, here or in another root, and comparing with what they say of themselves."""
import json
import shutil

from common import check
from source import HERE, run


class Python:
    """An interpreter: Debian's own, or that of another Debian unpacked in `root`."""

    def __init__(self, program="/usr/bin/python3", root=None):
        self.program, self.root = program, root

    def spawn(self, t, script, *arguments):
        if self.root is None:
            return t.spawn([self.program, HERE / script, *arguments])
        shutil.copy(HERE / script, self.root / "tmp")
        return t.spawn(["unshare", "--map-root-user", "--root", self.root, self.program, f"/tmp/{script}", *arguments])

    def start(self, t, *arguments):
        """pythons.py, once it stands still; the process and what it says of itself."""
        name = f"{t.tmp.name}.json"
        truth = (self.root / "tmp" if self.root else t.tmp) / name
        process = self.spawn(t, "pythons.py", f"/tmp/{name}" if self.root else truth, *arguments)
        t.wait(truth.exists, "the program to stand still", alive=process)
        said = json.loads(truth.read_text())
        truth.unlink()
        return process, said


def plain(frames):
    """Qualified names as Python's own traceback prints them: their last part."""
    return [[name if name.startswith("<") else name.rsplit(".", 1)[-1], file, line] for name, file, line in frames]


def compare(truth, stacks):
    threads = {str(s.tid): plain(s.frames) for s in stacks if s.tid}
    for tid, frames in truth["threads"].items():
        check(threads.get(tid) == frames, f"OS thread {tid}:", threads.get(tid), "is not", frames)
    # Python knows no frames of the one that runs, gmr shows those of its OS thread.
    greenlets = [None if s.fields["state"] == "2" else plain(s.frames) or None for s in stacks if s.kind == "greenlet"]
    check(greenlets == truth["greenlets"], "greenlets:", greenlets, "are not", truth["greenlets"])
    tasks = {s.fields["name"]: s for s in stacks if s.kind == "asyncio task"}
    for name, functions, wait in (("first", ["innermost", "middle", "outer"], "Future"),
                                  ("consumer", ["innermost", "middle", "generate", "consume"], "Future"),
                                  ("sl\u00e9eper", ["sleep", "sleeper"], "Future"),
                                  ("on-first", ["awaits_task"], "first")):
        check(name in tasks, f"no task {name} in", sorted(tasks))
        check([frame[0] for frame in tasks[name].frames] == functions, f"task {name}:", tasks[name].frames)
        check(tasks[name].fields["wait"] == wait, f"task {name} waits for", tasks[name].fields["wait"])


def check_busy(t, python, library, count=1000, reports=5):
    """Green threads that allocate and switch all the time are all found."""
    process = python.spawn(t, "greens_busy.py", library, count)
    t.wait(lambda: "ready" in process.stdout_text(), "the green threads to run", alive=process)
    name = {"eventlet": "GreenThread", "gevent": "Greenlet"}[library]
    for _ in range(reports):
        stacks, notes = run(t, process.pid, "python")
        check(notes == "", notes)
        found = [s for s in stacks if s.kind == "greenlet" and s.fields["name"] == name]
        check(len(found) == count, library, len(found))
        # The one that runs has its functions on its OS thread; another may be just about to be switched to.
        workers = [s for s in stacks if "worker" in [frame[0] for frame in s.frames]]
        check(len(workers) >= count - 1, library, len(workers))
    process.stop()
