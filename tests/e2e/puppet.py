"""A program of the tests' own that uses libgmr as it is told: tests/targets/puppet.c."""
import os
import re
import subprocess

from common import check

BEGIN = "====                        Guru Meditation                         ===="
END = "||||                     End of Guru Meditation                     ||||"


class Puppet:
    def __init__(self, t, *commands, argv=(), **options):
        self.t = t
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        self.process = t.spawn([*argv, t.build("tests/targets/puppet")], **options)
        self.pid = self.process.pid
        t.cleanup(self.process.popen.stdin.close)
        check(self.line() == "ready", "the puppet does not start:", self.process.stderr_text())
        for command in commands:
            self(command)

    def line(self):
        return self.process.popen.stdout.readline().decode(errors="replace").rstrip("\n")

    def send(self, command):
        self.process.popen.stdin.write(command.encode() + b"\n")
        self.process.popen.stdin.flush()

    def __call__(self, command):
        """Sends a command; its answer, a number where it is one."""
        self.send(command)
        answer = self.line()
        check(answer != "" or command == "message", f"no answer to '{command}':", self.process.popen.poll(),
              self.process.stderr_text()[-2000:])
        return int(answer) if re.fullmatch(r"-?\d+", answer) else answer

    def options(self, **options):
        for name, value in options.items():
            self(f"set {name} {value}")

    def setup(self, expected=0, **options):
        self.options(**options)
        result = self("setup")
        check(result == expected, "setup returned", result, self("message"))
        self.t.wait(lambda: self.thread_names().count("gmr-runner") >= 2, "the runner and its spare", alive=self.process)
        return self

    def setup_quietly(self, **options):
        """Where the process is not the one that was started: in a namespace of its own."""
        self.options(**options)
        check(self("setup") == 0, self("message"))
        return self

    def thread_names(self):
        names = []
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{tid}/comm", encoding="utf-8", errors="replace") as comm:
                    names.append(comm.read().strip())
            except OSError:
                pass  # it ended meanwhile
        return names

    def stderr(self):
        return self.process.stderr_text()

    def signal(self, number=12):
        os.kill(self.pid, number)

    def report(self, number=12, count=1):
        """Signals it and waits for the next whole report on its standard error; the report's text."""
        before = self.stderr().count(END)
        self.signal(number)
        self.t.wait(lambda: self.stderr().count(END) >= before + count, "a whole report", alive=self.process)
        return self.stderr().split(END)[before]

    def reports(self):
        """Texts of the whole reports on standard error; fails if one is interleaved with another or cut short."""
        text = self.stderr()
        return whole_reports(text)

    def fds(self):
        return sorted(os.listdir(f"/proc/{self.pid}/fd"), key=int)

    def maps(self):
        with open(f"/proc/{self.pid}/maps", encoding="utf-8") as maps:
            return maps.read()


def whole_reports(text):
    marks = re.findall(f"{re.escape(BEGIN)}|{re.escape(END)}", text)
    for index, mark in enumerate(marks):
        check(mark == (BEGIN if index % 2 == 0 else END), "reports are interleaved or cut:", marks)
    check(len(marks) % 2 == 0, "the last report is cut short")
    return [part.split(BEGIN)[1] for part in text.split(END)[:-1]]


def section(report, title):
    """The lines of one section of a text report."""
    lines = report.splitlines()
    rule = "=" * 72
    for index, line in enumerate(lines):
        if line.strip("= ") == title and line.startswith("====") and lines[index - 1].startswith(rule[:20]):
            body = []
            for following in lines[index + 2:]:
                if following.startswith(rule):
                    break
                body.append(following)
            return "\n".join(body)
    raise AssertionError(f"no section '{title}' in the report")
