"""Reports of processes that have oslo.reports: gmr's beside their own on SIGUSR2. Shared by the tests of OpenStack's services."""
import os
import re
import signal

from common import check


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def own_report(t, engine, pid):
    """The process' own: a list of stacks (functions, files, lines and their text, innermost first), None for "No Traceback!"."""
    before = len(engine.stderr_text())
    os.kill(pid, signal.SIGUSR2)
    t.wait(lambda: re.search(r"^====  +Configuration  +====$", engine.stderr_text()[before:], re.M), "the process' own report")
    text = engine.stderr_text()[before:]
    text = text[text.index("Green Threads"):text.index("Processes     ")]
    stacks = []
    for block in re.split(r"^------ +Green Thread +------$", text, flags=re.M)[1:]:
        frames = re.findall(r"^(\S.*):(\d+) in (.*)\n(?: +`(.*)`$)?", block, flags=re.M)
        stacks.append([[function, file, int(line), source] for file, line, function, source in reversed(frames)] or None)
    return stacks


def python_frames(document, thread):
    if "stack" not in thread or thread["state"] == "running":
        return None  # the own one has no stack for the one that makes the report
    frames = [frame for frame in document["stacks"][thread["stack"]]["frames"] if frame.get("language") == "python"]
    return [[re.sub(r".*\.", "", f["function"]) if not f["function"].startswith("<") else f["function"], f["file"], f["line"],
             f.get("source", "")] for f in frames] or None


def gmr_report(t, pid):
    """(stacks that gc.get_objects() lists, those that gc.freeze() has put aside, the document)."""
    document = t.report(pid, codes=(0, 1))  # 1: on a machine with more to do than it can, the time for a section may not last
    listed, frozen = [], []
    for thread in document["green_threads"]:
        check(thread["kind"] == "greenlet", thread)
        (frozen if "gc.freeze" in thread.get("problem", "") else listed).append(python_frames(document, thread))
    return listed, frozen, document


def ordered(stacks):
    return sorted(stacks, key=repr)


def same(t, engine, pid):
    """Both reports, taken until no green thread moved in between; the stacks."""
    found = {}

    def alike():
        found["mine"] = gmr_report(t, pid)[0]
        found["own"] = own_report(t, engine, pid)
        return ordered(found["mine"]) == ordered(found["own"])
    try:
        t.wait(alike, "two reports alike")
    except AssertionError as error:
        raise AssertionError(f"process {pid}: gmr says {ordered(found['mine'])}, it says itself {ordered(found['own'])}") from error
    return found["own"]
