"""QEMU's coroutines in Debian's qemu-io: which there are, what state they are in, their stacks."""
import fcntl
import json
import os
import pathlib
import shutil
import subprocess

from common import Skip, check, suite
from source import HERE, run

PPOLL = "271"
F_SETPIPE_SZ = 1031
BLKDEBUG = ("driver=raw,file.driver=blkdebug,file.image.driver=null-co,file.image.size=1G,"
            "file.image.read-zeroes=on")
SLOW = "driver=null-co,size=1G,read-zeroes=on,latency-ns=3000000000000"
SUSPENDED, RUNNING, WAITING = 4, 2, 5


def stacks_mapped(pid):
    """Guarded stacks of 1 MiB, as QEMU makes them."""
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    maps = [([int(x, 16) for x in line.split()[0].split("-")], line.split()[1]) for line in lines]
    return sum(1 for (low, high) in zip(maps, maps[1:])
               if low[1] == "---p" and low[0][1] - low[0][0] == 4096 and high[1] == "rw-p" and low[0][1] == high[0][0]
               and high[0][1] - high[0][0] >= 1 << 20)


def start(t, image, count, *commands):
    """qemu-io that did the commands and waits in its main loop, `count` coroutines made."""
    if not shutil.which("qemu-io") or os.uname().machine != "x86_64":
        raise Skip("there is no qemu-io (qemu-utils)")
    arguments = [x for command in (*commands, "sleep 3000000") for x in ("-c", command)]
    process = t.spawn(["qemu-io", *arguments, "--image-opts", image])
    syscall = pathlib.Path(f"/proc/{process.pid}/syscall")
    t.wait(lambda: stacks_mapped(process.pid) >= count and syscall.read_text("ascii").split()[0] == PPOLL,
           "qemu-io to wait", alive=process)
    return process


def breakpoints(t):
    return start(t, BLKDEBUG, 4, "break read_aio A", "aio_read 0 4k", "break read_aio B", "aio_read 4k 4k",
                 "break write_aio W", "aio_write 8k 4k", "break read_aio C", "aio_read 12k 4k", "resume C")


@suite.test
def suspended_ones_and_the_pools_spare_one(t):
    process = breakpoints(t)
    document = t.report(process.pid)
    green = document["green_threads"]
    check(len(green) == 4, green)
    check({x["kind"] for x in green} == {"QEMU coroutine"}, green)
    check(len({x["address"] for x in green}) == 4, "twice the same:", green)
    check(sorted(bool(x.get("idle")) for x in green) == [False] * 3 + [True], green)
    for thread in green:
        frames = document["stacks"][thread["stack"]]["frames"]
        modules = [os.path.basename(frame.get("module", "")) for frame in frames]
        check(thread["state"] == "suspended", thread)
        check(modules[0] == "qemu-io" and modules[-1].startswith("libc."), frames)
        # The spare one: the switch and the function that all start in, below libc's.
        check(len(frames) == 3 if thread.get("idle") else len(frames) > 5, frames)
    # Two reads and a write: the reads stand at the same place.
    stacks = [x["stack"] for x in green if not x.get("idle")]
    check(len(set(stacks)) == 2, green)


@suite.test
def those_that_sleep(t):
    stacks, notes = run(t, start(t, SLOW, 300, *(f"aio_read {i * 4}k 4k" for i in range(300))).pid, "qemu")
    check(notes == "", notes)
    check(len(stacks) == 300, len(stacks))
    check({s.kind for s in stacks} == {"QEMU coroutine"})
    check({(int(s.fields["state"]), s.fields["wait"]) for s in stacks} == {(WAITING, "sleep")}, stacks[0].fields)


@suite.test
def the_one_that_runs_and_who_entered_it(t):
    """A coroutine that is stuck in a system call: its trace goes to a full pipe."""
    if not shutil.which("qemu-io") or os.uname().machine != "x86_64":
        raise Skip("there is no qemu-io (qemu-utils)")
    out, into = os.pipe()
    t.cleanup(os.close, out)
    fcntl.fcntl(into, F_SETPIPE_SZ, 4096)
    os.write(into, b"x" * 4096)
    process = t.spawn(["qemu-io", "--trace", "bdrv_co_preadv_part", "-c", "read 0 4k", "--image-opts", SLOW],
                      stderr=into)
    os.close(into)
    syscall = pathlib.Path(f"/proc/{process.pid}/syscall")
    t.wait(lambda: syscall.read_text("ascii").split()[:2] == ["1", "0x2"], "the trace to block", alive=process)
    stacks, notes = run(t, process.pid, "qemu")
    check(notes == "", notes)
    leader, = [s for s in stacks if s.fields["name"] == "leader"]
    running, = [s for s in stacks if s.fields["name"] != "leader"]
    check(int(running.fields["state"]) == RUNNING and int(running.fields["carrier"]) == process.pid, running.fields)
    check(int(leader.fields["state"]) == SUSPENDED and int(leader.fields["carrier"]) == process.pid, leader.fields)
    document = t.report(process.pid)
    leader, = [x for x in document["green_threads"] if x.get("name") == "leader"]
    functions = [frame.get("function") for frame in document["stacks"][leader["stack"]]["frames"]]
    check("__libc_start_main" in " ".join(map(str, functions)), functions)


def guest(t, *options):
    """Debian's qemu-system, stripped: its firmware waits for the first block of a disk."""
    qemu = "qemu-system-x86_64"
    if not shutil.which(qemu) or os.uname().machine != "x86_64":
        raise Skip("there is no qemu-system-x86_64 (qemu-system-x86)")
    process = t.spawn([qemu, "-display", "none", "-serial", "none", "-monitor", "none", "-m", "64", "-accel", "tcg", *options,
                       "-device", "virtio-blk-pci,drive=disk"])
    t.cleanup(process.popen.kill)  # else it waits for its disk
    return process


def wait_for_coroutine(t, process, *functions, reason=None):
    """Waits until one stands in all these functions, and waits for that reason."""
    def waiting():
        document = t.report(process.pid, codes=(0, 1))
        for thread in document["green_threads"]:
            names = [frame.get("function") for frame in document["stacks"][thread["stack"]]["frames"]]
            if thread.get("wait_reason") == reason and not thread.get("idle") and all(name in names for name in functions):
                check(thread["kind"] == "QEMU coroutine", thread)
                return True
        return False
    t.wait(waiting, f"a coroutine in {functions}", alive=process)


@suite.test
def a_guest_whose_disk_does_not_answer(t):
    process = guest(t, "-blockdev", "driver=null-co,node-name=disk,size=1073741824,read-zeroes=on,latency-ns=3000000000000")
    wait_for_coroutine(t, process, "bdrv_co_preadv_part", "blk_co_pread", reason="sleep")


@suite.test
def a_guest_whose_disk_is_throttled(t):
    process = guest(t, "-object", "throttle-group,id=group,x-iops-total=1,x-bps-total=1", "-blockdev",
                    "driver=throttle,node-name=disk,throttle-group=group,file.driver=null-co,file.size=1073741824,file.read-zeroes=on")
    wait_for_coroutine(t, process, "qemu_co_queue_wait_impl", "throttle_group_co_io_limits_intercept", "bdrv_co_preadv_part")


@suite.test
def a_guest_whose_disk_is_far_away(t):
    """The server has the request and does not answer: the guest's QEMU waits in nbd's code, the server's for its own disk."""
    if not shutil.which("qemu-nbd"):
        raise Skip("there is no qemu-nbd (qemu-utils)")
    server = t.spawn(["qemu-nbd", "-k", t.tmp / "nbd.sock", "--persistent", "--image-opts",
                      "driver=null-co,size=1G,latency-ns=3000000000000"])  # known zeroes would be answered without reading
    t.cleanup(server.popen.kill)
    t.wait((t.tmp / "nbd.sock").exists, "the server's socket", alive=server)
    process = guest(t, "-blockdev", f"driver=nbd,node-name=disk,server.type=unix,server.path={t.tmp}/nbd.sock")
    wait_for_coroutine(t, server, "qemu_co_sleep_ns_wakeable", reason="sleep")
    wait_for_coroutine(t, process, "bdrv_co_preadv_part", "blk_co_pread")


@suite.test
def a_layout_that_is_not_known_is_said(t):
    compiler = shutil.which("gcc") or "cc"
    result = subprocess.run([compiler, "-rdynamic", HERE / "qemu_unlike.c", "-o", t.tmp / "unlike"], capture_output=True, text=True, timeout=120,
                            check=False)
    check(result.returncode == 0, result.stderr)
    process = t.spawn([t.tmp / "unlike"])
    t.wait(lambda: "ready" in process.stdout_text(), "it to be ready", alive=process)
    document = t.report(process.pid, codes=(1,))
    entry, = [x for x in document["report"]["sections"] if x["name"] == "green_threads"]
    check(entry["status"] == "partial" and "are not laid out as in QEMU" in entry["reason"], entry)
    check(document["green_threads"] == [], document["green_threads"])


@suite.test
def from_a_core(t):
    process = breakpoints(t)
    result = t.gmr("core", t.core_of(process), "--format", "json")
    green = json.loads(result.stdout)["green_threads"]
    check(sorted(bool(x.get("idle")) for x in green) == [False] * 3 + [True], green)
    check({x["kind"] for x in green} == {"QEMU coroutine"}, green)


@suite.test
def a_program_that_is_not_qemu(t):
    process = t.spawn(["sleep", "1000"])
    t.wait(lambda: pathlib.Path(f"/proc/{process.pid}/comm").read_text("ascii") == "sleep\n", "it to start")
    stacks, notes = run(t, process.pid, "qemu", code=1)
    check(not stacks and notes == "", stacks, notes)


@suite.test
def memory_that_lies_does_no_harm(t):
    process = breakpoints(t)
    for seed in range(1, 21):
        run(t, process.pid, "qemu", 2 + seed % 5, seed)
    check(process.alive())


suite.main()
