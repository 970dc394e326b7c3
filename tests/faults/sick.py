"""What every test of a sick process checks, so that none can forget it: the report comes, in text and in JSON; the JSON is valid; what is not whole
says why; and the process is as it was.

`Sick` is a Puppet whose report() does all that. A test that takes its report otherwise (gmr report, a crash) calls valid() with the document.
"""
import os
import pathlib
import re

from common import check
from puppet import Puppet, section


def valid(t, text):
    """A document that parses against the schema, and whose sections say why they are not whole."""
    document = t.valid_json(text)
    for one in document["report"]["sections"]:
        check(one["status"] in ("ok", "absent") or one.get("reason"), "not whole, and no reason:", one)
    return document


def status_of(document, name):
    return next(s for s in document["report"]["sections"] if s["name"] == name)


def look(pid):
    """What must be the same afterwards: descriptors, how many threads, that none stands or is traced, no children."""
    threads, held = [], []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            status = pathlib.Path(f"/proc/{pid}/task/{task}/status").read_text(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        # libgmr's spare threads are made and given up as generators hang.
        if not status.startswith("Name:\tgmr-runner\n"):
            threads.append(task)
        if re.search(r"^State:\s*[tZ]", status, re.M):
            held.append(status.split("\n")[0:3])
    return {"descriptors": sorted(os.listdir(f"/proc/{pid}/fd"), key=int), "threads": len(threads), "held": held}


class Sick(Puppet):
    """fds, threads: False where they change by themselves. refusal: what a call may answer instead of a report."""

    def __init__(self, t, *commands, fds=True, threads=True, refusal=None, **options):
        self.same_fds, self.same_threads, self.refusal = fds, threads, refusal
        self.json = None
        super().__init__(t, *commands, **options)

    def keep_file(self):
        """Opened ahead: later there may be no descriptor left."""
        if self.json is None:
            self.json = self.t.tmp / f"report.{self.pid}.json"
            self.json.touch()
            self.json.chmod(0o666)
            self.fd = self(f"open {self.json}")
            check(self.fd > 2, "no file for the report:", self.fd)

    def setup(self, *arguments, **options):
        super().setup(*arguments, **options)
        self.keep_file()
        return self

    def setup_quietly(self, **options):
        super().setup_quietly(**options)
        self.keep_file()
        return self

    def document(self):
        """The report that it writes of itself, in JSON."""
        self.keep_file()
        os.truncate(self.json, 0)
        result = self(f"write {self.fd} 2")
        if self.refusal is not None and result == self.refusal:
            return None
        check(result == 0, "no report:", result, self.stderr()[-500:])
        # The descriptor's offset stays where the last report ended.
        return valid(self.t, self.json.read_bytes().lstrip(b"\0").decode())

    def report(self, *arguments, **options):
        """Both: by signal in text, which is returned, and by call in JSON, which is kept as .last."""
        self.keep_file()
        before = look(self.pid)
        text = super().report(*arguments, **options)
        self.last = self.document()
        check(section(text, "Threads"), text[:200])
        self.as_before(before)
        return text

    def as_before(self, before):
        def same():
            now = look(self.pid)
            return (not now["held"] and (not self.same_fds or now["descriptors"] == before["descriptors"])
                    and (not self.same_threads or now["threads"] == before["threads"]))
        try:
            self.t.wait(same, "the process as it was", timeout=20)
        except AssertionError as error:
            raise AssertionError(f"the process is not as it was: {before} {look(self.pid)}") from error
