"""Failing the nth system call or allocation, and what a report must be all the same. The tests are test_injection.py's.

A report is *whole*, or *partial* (a status says what is missing), or *refused* (an error or an exit code, and nothing that looks like a whole one).
Whatever it is, it comes within its deadline, parses against the schema, and leaves the target as it was.
"""
import errno
import json
import os
import pathlib
import re
import select
import subprocess

from common import check

# With GMR_FAULTS=whole every n; else a few of each series, always the same ones.
WHOLE = os.environ.get("GMR_FAULTS") == "whole"
FEW = 3
ERRORS = [errno.EPERM, errno.EINTR, errno.ENOMEM, errno.EMFILE, errno.EIO, errno.EAGAIN, errno.ENOSYS]
HANG = 90


def numbers(total, salt=0):
    """Which of 0 .. total-1 are made to fail."""
    if WHOLE or total <= FEW:
        return range(total)
    step = total / FEW
    return sorted({int(i * step + salt * 7 % max(1, int(step))) % total for i in range(FEW)})


class Tally:
    """What came of a series; every finding is kept, and the test fails at its end."""

    def __init__(self, name):
        self.name, self.counts, self.findings = name, {"whole": 0, "partial": 0, "refused": 0}, {}

    def add(self, kind, where=None):
        self.counts[kind] += 1
        if where and os.environ.get("GMR_FAULTS_TALK"):
            print(f"# {kind}: {where}", flush=True)

    def finding(self, what, where):
        self.findings.setdefault(what, []).append(where)

    def judged(self, t, target, kind, where):
        """As add; and the target must be as it was."""
        self.add(kind, where)
        problem = target.problem(t.wait)
        if problem:
            self.finding(problem, where)

    def close(self):
        total = sum(self.counts.values())
        print(f"# {self.name}: {total} failures made up: " + ", ".join(f"{count} {kind}" for kind, count in self.counts.items()), flush=True)
        if os.environ.get("GMR_FAULTS_LOG"):
            with open(os.environ["GMR_FAULTS_LOG"], "a", encoding="utf-8") as log:
                log.write(json.dumps({"name": self.name, **self.counts, "findings": len(self.findings)}) + "\n")
        for what, where in self.findings.items():
            print(f"# finding: {what}: {len(where)} times, e.g. {where[:3]}", flush=True)
        check(not self.findings, f"{len(self.findings)} findings:", "\n".join(f"{what}: {where[:3]}" for what, where in self.findings.items()))
        check(total > 0, "nothing was made to fail")


class Injector:
    """Makes calls of a puppet fail. which: "libgmr" (its own calls) or "all"."""

    def __init__(self, t, puppet, which):
        fd = puppet(f"supervise {which}")
        self.process = t.spawn([t.build("tests/faults/inject"), puppet.pid, fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        check(self.process.popen.stdout.readline() == b"ready\n", "the filter can't be supervised:", self.process.stderr_text())
        self.order("stop")

    def order(self, text):
        """(how many calls could have failed, the one that did or "-") since the order before."""
        self.process.popen.stdin.write(text.encode() + b"\n")
        self.process.popen.stdin.flush()
        count, name = self.process.popen.stdout.readline().decode().split()
        return int(count), name

    def fail(self, at, error):
        return self.order(f"fail {at} {error}")

    def stop(self):
        return self.order("stop")

    def close(self):
        for pipe in (self.process.popen.stdin, self.process.popen.stdout):
            pipe.close()
        self.process.stop()


def ask(puppet, command):
    """The puppet's answer, or None if none comes: it hangs, or has ended."""
    try:
        puppet.send(command)
    except BrokenPipeError:
        return None
    if not select.select([puppet.process.popen.stdout], [], [], HANG)[0]:
        return None
    line = puppet.line()
    if not line and command != "message":
        return None
    return int(line) if re.fullmatch(r"-?\d+", line) else line


LISTS = ("processes", "modules")
# Sections whose members are the same in every report of an idle process.
WHOLE_MAPS = ("limits", "environment", "resources", "cgroup", "host")


def missing(was, now, path=""):
    """Members of the map that are not there, by their path."""
    found = []
    for key, value in was.items():
        if key not in now:
            found.append(path + key)
        elif isinstance(value, dict):
            found += missing(value, now[key], f"{path}{key}.")
    return found


def workers(threads):
    """How many threads are the program's own: libgmr's may be fewer for want of memory."""
    return sum(not thread.get("name", "").startswith("gmr-") for thread in threads)


def losses(document, baseline):
    """Sections that say they are whole and are not. Single members may be absent: that is how a report says that it does not know."""
    status = {section["name"]: section["status"] for section in document["report"]["sections"]}
    lost = []
    for section in baseline["report"]["sections"]:
        name = section["name"]
        if name not in status and section.get("own") and ("Own Sections" in status or status.get("configuration") not in ("ok", None)):
            continue # the process did not answer: which sections it has is not known
        if name not in status:
            lost.append(f"{name} is not mentioned")
            continue
        if section["status"] != "ok" or status[name] != "ok":
            continue
        was, now = (d["sections"].get(name) if section.get("own") else d.get(name) for d in (baseline, document))
        if name == "stacks" and status.get("threads") != "ok":
            continue # those of the threads that are there
        if was and not now:
            lost.append(f"{name} is empty and ok")
        elif name == "threads" and workers(now) < workers(was):
            lost.append(f"{name} has {workers(now)} of {workers(was)} and is ok")
        elif name in LISTS and len(now) < len(was):
            lost.append(f"{name} has {len(now)} of {len(was)} and is ok")
        elif name == "open_files" and len(now.get("descriptors", [])) + now.get("not_listed", 0) < len(was["descriptors"]):
            lost.append(f"{name} has {len(now.get('descriptors', []))} of {len(was['descriptors'])} and is ok")
        elif name in WHOLE_MAPS:
            lost += [f"{name} lacks {member} and is ok" for member in missing(was, now)]
        elif isinstance(was, dict) and len(now) < len(was) / 2:
            lost.append(f"{name} has {sorted(now)} of {sorted(was)} and is ok")
        if name in LISTS:
            lost += [f"{name}: {member} is not known and it is ok" for member in sorted(set().union(*was) - set().union(*now))]
    if status.get("threads") == "ok":
        lost += [f"thread {t.get('name')} has neither stack nor problem and is ok" for t in document["threads"] if "stack" not in t and "problem" not in t]
    return lost


def judge(t, tally, text, baseline, where):
    """What a document that is said to have been made is: "whole" or "partial"."""
    try:
        document = t.valid_json(text)
    except (ValueError, AssertionError) as error:
        tally.finding(f"not a valid report: {str(error)[:120]}", where)
        return "partial"
    for loss in losses(document, baseline):
        tally.finding(loss, where)
    whole = document["report"]["status"] == "complete"
    if not whole:
        reasons = [s for s in document["report"]["sections"] if s["status"] not in ("ok", "absent")]
        if not reasons or not all(s.get("reason") for s in reasons):
            tally.finding("not whole, and no reason", where)
    return "whole" if whole else "partial"


def looks_whole(text):
    """Would somebody take this for a report?"""
    try:
        return "report" in json.loads(text)
    except ValueError:
        return False


class Target:
    """A process as it was before, to compare with afterwards."""

    def __init__(self, pid):
        self.pid = pid
        self.before = self.look()

    def look(self):
        tasks = sorted((tid for tid in os.listdir(f"/proc/{self.pid}/task") if not self.runner(tid)), key=int)
        return {"threads": tasks, "descriptors": sorted(os.listdir(f"/proc/{self.pid}/fd"), key=int)}

    def runner(self, tid):
        """One more of these is started where a generator got no processor in time: this machine is busy."""
        try:
            return pathlib.Path(f"/proc/{self.pid}/task/{tid}/comm").read_text(errors="replace").strip() == "gmr-runner"
        except OSError:
            return False

    def problem(self, wait):
        """None, or what is wrong with it now."""
        try:
            # Those who traced it, and what was started, may be on their way out.
            wait(lambda: not self.held() and self.look() == self.before and not self.children(), "the target as it was", timeout=20)
        except (OSError, AssertionError):
            try:
                return f"the target is not as it was: {self.held()} {self.children()} {self.before} {self.look()}"
            except OSError:
                return "the target has ended"
        return None

    def held(self):
        """Threads that stand, or have a tracer."""
        found = []
        for path in pathlib.Path(f"/proc/{self.pid}/task").glob("*/status"):
            try:
                status = path.read_text(errors="replace")
            except OSError:
                continue
            if re.search(r"^State:\s*[tTZ]", status, re.M) or not re.search(r"^TracerPid:\s*0$", status, re.M):
                found.append(path.parent.name)
        return found

    def children(self):
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(path.read_text(errors="replace").rsplit(")", 1)[1].split()[1]) == self.pid:
                    found.append(path.parent.name)
            except (OSError, ValueError):
                pass
        return found
