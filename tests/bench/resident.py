"""What an idle libgmr costs the process it is in, as a table in Markdown: two daemons that do nothing, one of them with libgmr set up.

    resident.py [--seconds 5]

Memory is counted by /proc/PID/smaps: of libgmr's file what is mapped in (Rss less Anonymous; the kernel maps up to 16 pages around one that is
touched, and every process with the library shares them), and how much more anonymous memory the process has than the one without: libgmr's
variables, relocations, threads' stacks, mappings, and what libc allocates for it. CPU and wakeups are those of libgmr's threads
(/proc/PID/task/TID/schedstat and status). GMR_BUILD names the build directory.
"""
import argparse
import os
import pathlib
import re
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GMR_BUILD", ROOT / "build")).resolve()


class Daemon:
    def __init__(self, name, times=1):
        self.popen = subprocess.Popen([BUILD / "tests/bench" / name, str(times)], stdout=subprocess.PIPE, text=True)
        self.setup_us = int(self.popen.stdout.readline())
        self.proc = pathlib.Path(f"/proc/{self.popen.pid}")

    def close(self):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()

    def threads(self):
        """libgmr's own."""
        return [task for task in (self.proc / "task").iterdir() if (task / "comm").read_text().startswith("gmr-")]

    def memory(self):
        """KiB: (virtual, anonymous, of libgmr's file)."""
        virtual = anonymous = of_file = rss = 0
        ours = False
        for line in (self.proc / "smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                ours = "/libgmr" in line
                continue
            key, _, value = line.partition(":")
            kib = int(value.split()[0]) if value.strip().endswith("kB") else 0
            virtual += kib if key == "Size" else 0
            rss = kib if key == "Rss" else rss
            if key == "Anonymous":
                anonymous += kib
                of_file += rss - kib if ours else 0
        return virtual, anonymous, of_file

    def activity(self):
        """(ns of CPU, wakeups) of libgmr's threads."""
        cpu = sum(int((task / "schedstat").read_text().split()[0]) for task in self.threads())
        wakeups = sum(int(value) for task in self.threads()
                      for value in re.findall(r"^(?:non)?voluntary_ctxt_switches:\s*(\d+)", (task / "status").read_text(), re.M))
        return cpu, wakeups


def measure(seconds, times):
    plain, daemon = Daemon("resident-without"), Daemon("resident", times)
    try:
        end = time.monotonic() + 60
        while len(daemon.threads()) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.5)  # for threads that start to come to rest
        before, after = plain.memory(), daemon.memory()
        idle = daemon.activity()
        time.sleep(seconds)
        busy = daemon.activity()
        return {"virtual": after[0] - before[0], "anonymous": after[1] - before[1], "file": after[2], "cpu_ns": busy[0] - idle[0],
                "wakeups": busy[1] - idle[1], "setup_us": daemon.setup_us}
    finally:
        plain.close()
        daemon.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    # Memory of a process that has been set up once; the time of one that was set up often, so that the load of the machine drops out.
    figures, setup_us = measure(arguments.seconds, 1), measure(0, 20)["setup_us"]
    text = int(subprocess.run(["size", BUILD / "libgmr.so"], capture_output=True, text=True, check=True).stdout.split("\n")[1].split()[0])
    print("\n| an idle libgmr | |\n|---|---|")
    print(f"| code and constants (`size`: text) | {text / 1024:.0f} KiB |")
    print(f"| resident | {figures['anonymous'] + figures['file']} KiB |")
    print(f"| of it private to the process | {figures['anonymous']} KiB |")
    print(f"| address space | {figures['virtual'] / 1024:.1f} MiB |")
    print(f"| `gmr_setup_autorun`, the shortest of 20 | {setup_us / 1000:.2f} ms |")
    print(f"| CPU of its threads within {arguments.seconds:g} s | {figures['cpu_ns'] / 1000:.0f} us, {figures['wakeups']} wakeups |")


if __name__ == "__main__":
    main()
