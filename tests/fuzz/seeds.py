#!/usr/bin/python3
"""Writes the seed corpora of the fuzz harnesses, a folder each: seeds.py DIRECTORY. What a harness found before lies in tests/fuzz/corpus/NAME."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def varint(value):
    out = b""
    while True:
        out += bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
        value >>= 7
        if not value:
            return out


def text(value):
    return varint(len(value)) + value


def optional(value):
    return b"\0" if value is None else varint(len(value) + 1) + value


def event(code, key=None, payload=b""):
    return bytes([code | (0x80 if key is not None else 0)]) + (text(key) if key is not None else b"") + payload


DOC = optional(b"id") + optional(b"svc") + optional(None) * 4


def body():
    """Events of a section: every kind of them."""
    return (event(8, b"int", varint(83)) + event(9, b"uint", varint(2**64 - 1)) + event(10, b"double", struct.pack("<d", 0.1))
            + event(11, b"true") + event(12, b"false") + event(13, b"null") + event(14, b"secret")
            + event(6, b"string", text(b"va\xc3") + text(b"\xa9lue") + b"\0") + event(7, b"lines", text(b"a\nb") + b"\0")
            + event(1, b"map") + event(2, b"list") + event(8, None, b"\2") + event(6, None, text(b"x'\"") + b"\0") + event(1) + event(5)
            + event(5) + event(5) + event(3, b"ordered") + event(4) + event(5) + event(5)
            + event(15, b"table", varint(2) + text(b"A") + text(b"B")) + event(16, None, varint(2) + text(b"1") + text(b"")) + event(17)
            + event(18, None, text(b"raw\n") + b"\0"))


def section(name, flags, inner):
    style = optional(b"  ") + optional(b" = ") * 3 + optional(b"[dict]") + optional(None) * 2
    head = optional(name) + optional(name) + varint(1) + varint(flags) + style
    return event(19, None, head) + inner + event(20, None, varint(1) + optional(b"why") + optional(None))


def wire():
    stream = event(23, None, b"GMR\1" + varint(7) + DOC)
    stream += section(b"package", 0, body()) + section(b"Own", 1, body()) + section(b"Own", 1, b"")
    stream += event(22, None, varint(1) + varint(5) * 4 + optional(b"ptrace")) + event(24, None, varint(7) + DOC)
    return {f"view{view}": bytes([view + 60]) + stream for view in range(3)} | {"small": bytes([1]) + stream, "empty": b"\0"}


def arena():
    return {f"view{view}": bytes([view, 255]) + body() for view in range(3)} | {"short": b"\1\2" + body(), "kept": bytes([129, 255]) + body()}


def stored():
    report = {"schema": "gmr-report/1", "package": {"product": None, "version": "1"},
              "threads": [{"id": 1, "name": "a", "state": "sleeping", "syscall": "ppoll", "stack": 0}, {"id": 2, "stack": 0}, {"id": 3, "problem": "x"}],
              "green_threads": [{"id": 1, "kind": "ucontext", "state": "waiting", "wait_reason": "x", "age_seconds": 1.5, "stack": 1,
                                 "stack_bytes": 65536, "stack_used_bytes": 100, "entry": {"pc": "0x1", "function": "f"}}],
              "stacks": [{"frames": [{"pc": "0x1000", "function": "f", "offset": 1, "module": "/m", "file": "a.c", "line": 2, "source": "x();"}],
                          "end": "why"}, {"frames": [{"pc": "0x2000", "module": "/m", "module_offset": "0x10"}]}],
              "processes": [{"pid": 1, "parent_pid": 0, "uids": {"real": 0, "effective": 1, "saved": 0}, "command": ["a", "--password", "b", ""],
                             "state": "running", "threads": 1, "memory": {"rss": 1, "virtual": 2**63}, "children": []}],
              "configuration": {"default": {"debug": True}}, "sections": {"S": {"b": [3, 1, {"x": "y\n"}], "a": 1.5, "url": "http://u:p@10.0.0.1/"}},
              "limits": {"files": {"soft": 1, "hard": "unlimited", "unit": "files"}},
              "open_files": {"count": 1, "kinds": {"socket": 1}, "descriptors": [
                  {"fd": 3, "kind": "socket", "target": "socket:[1]", "socket": {"type": "tcp", "local": "[::1]:1", "remote": "x", "state": "listen"}}]},
              "modules": [{"path": "/m", "start": "0x1", "end": "0x2", "build_id": "ab", "deleted": True}],
              "host": {"name": "web.example", "memory": {"total": 1}},
              "report": {"host": "web.example", "status": "partial", "sections": [{"name": "S", "own": True, "status": "failed", "reason": "r"}],
                         "cost": {"wall_us": 1, "pause_max_us": 2, "pause_median_us": 1, "copied_bytes": 3}}}
    return {"report": json.dumps(report).encode(), "empty": b'{"schema": "gmr-report/1"}'}


def ini():
    return {"heat": b"[DEFAULT]\ndebug = true\n[oslo_reports]\nlog_dir = /var/log/heat\nfile_event_handler = /tmp/x\nfile_event_handler_interval = 2\n",
            "odd": b"\xef\xbb\xbf# c\r\n[oslo_reports\nlog_dir\n =x\n[oslo_reports]\nlog_dir: a ; c\n  more\n"}


def socket():
    return {"hello": b"\377gmr/1 hello\n", "sections": b"\3gmr/1 sections view=json names=package,own\n", "long": b"\377" + b"x" * 1100}


def proc():
    files = []
    for name in ("stat", "status", "maps", "limits", "io", "cgroup", "cmdline", "mountinfo"):
        files.append(pathlib.Path("/proc/self", name).read_bytes())
    for name in ("meminfo", "stat", "loadavg", "uptime", "net/tcp", "net/unix"):
        files.append(pathlib.Path("/proc", name).read_bytes()[:600])
    whole = b"\xff".join(part.replace(b"\xff", b"") for part in files)
    return {"self": whole, "odd": whole + b"x", "stat": b"1 (a) b) R 0 1 1", "map": b"7f00-7f01 r-xp 0 08:01 1  /x (deleted)\n"}


def note(kind, data, name=b"CORE\0"):
    pad = lambda part: part + b"\0" * (-len(part) % 4)
    return struct.pack("<III", len(name), len(data), kind) + pad(name) + pad(data)


def core():
    """A core of one thread with a page of stack, and one of nothing but its header."""
    registers = struct.pack("<27Q", *([0] * 16 + [0x400100] + [0] * 2 + [0x7FFF0000] + [0] * 7))
    status = struct.pack("<iiihHQQiiii", 11, 1, 0, 11, 0, 0, 0, 77, 1, 1, 1) + b"\0" * 64 + registers + b"\0" * 8
    info = b"\0R\0\0" + b"\0" * 4 + struct.pack("<QII4i", 0, 0, 0, 77, 1, 1, 1) + b"prog".ljust(16, b"\0") + b"prog x".ljust(80, b"\0")
    files = struct.pack("<QQ", 1, 4096) + struct.pack("<QQQ", 0x400000, 0x401000, 0) + b"/usr/bin/true\0"
    auxv = struct.pack("<QQQQQQ", 9, 0x400100, 33, 0x7FFF1000, 0, 0)
    notes = note(1, status) + note(3, info) + note(6, auxv) + note(0x46494C45, files)
    stack = struct.pack("<512Q", *[0x400000 + n for n in range(512)])
    offset = 64 + 3 * 56
    headers = struct.pack("<IIQQQQQQ", 4, 0, offset, 0, 0, len(notes), 0, 4)
    headers += struct.pack("<IIQQQQQQ", 1, 6, offset + len(notes), 0x7FFF0000, 0, len(stack), 4096, 4096)
    headers += struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0, 0, 4096, 4096)
    ident = b"\x7fELF\2\1\1" + b"\0" * 9
    start = ident + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    return {"thread": start + headers + notes + stack, "header": start}


def elf():
    source, program = "/dev/shm/gmr-seed-%d.c" % os.getpid(), "/dev/shm/gmr-seed-%d" % os.getpid()
    pathlib.Path(source).write_text("void _start(void) { for (;;); }\n")
    seeds = {}
    for name, options in (("plain", []), ("compressed", ["-g", "-gz=zlib"]), ("stripped", ["-s", "-shared"])):
        subprocess.run(["cc", "-nostdlib", "-static", "-Wl,--build-id", *options, source, "-o", program], check=True)
        seeds[name] = pathlib.Path(program).read_bytes()
    os.unlink(source)
    os.unlink(program)
    return seeds


def texts():
    return {"values": b"postgres://u:p@host/db?password=x Authorization: Bearer abc --password y\nkey: -----BEGIN PRIVATE KEY-----\nx\n",
            "command": b"mysql\0-u\0root\0-psecret\0--password=x\0-h\0db\0", "map": b"7f00 10 LazyCompile:~f\n7f08 20 g h\n7f00 1 later\n",
            "url": b"amqp://a:b@c:d@e"}


def cache():
    strings = b"main\0a.c\0"
    body = struct.pack("<QQII", 0x1000, 0xFF0, 0, 1) + struct.pack("<QIIiiII", 16, 0, 5, 3, 1, 0, 0)
    body += struct.pack("<QQQII", 0x1000, 0x2000, 7, 0, 2) + struct.pack("<QQ", 0x20, 0x31) + strings
    return {"one": b"gmrsym\0\1" + struct.pack("<QIIIIII", 5, 0, 1, 1, 1, 2, len(strings)) + body}


def go():
    """Function tables of two functions, as Go 1.18 and 1.20 lay them out."""
    seeds = {}
    for name, magic in (("go118", 0xFFFFFFF0), ("go120", 0xFFFFFFF1)):
        names, units, files = b"\0main.main\0runtime.allgadd\0", struct.pack("<2I", 0, 5), b"a.go\0b.go\0"
        values = b"\0" + b"\x02\x10\x10\x10\0" + b"\x02\x20\0" + b"\x0a\x08\x02\x18\0"
        record = lambda name_at, start: struct.pack("<IiiIIIIIIBB2sI", start, name_at, 0, 0, 1, 6, 9, 3, 0, 0, 0, b"\0\4", 0) + struct.pack(
            "<8I", 0xFFFFFFFF, 0xFFFFFFFF, 6, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 16, 0xFFFFFFFF)
        lookup = struct.pack("<5I", 0, 20, 32, 20 + len(record(1, 0)), 64) + record(1, 0) + record(11, 32)
        at = [72]
        for part in (names, units, files, values):
            at.append(at[-1] + len(part))
        seeds[name] = (struct.pack("<IBBBB", magic, 0, 0, 1, 8) + struct.pack("<8Q", 2, 2, 0x400000, *at) + names + units + files + values + lookup)
    return seeds


def goroutines():
    """Three goroutines of each release: one waits, one runs, one is in a system call; the waiting one runs before the stop."""
    base, seeds = 0x10000, {}
    until_122 = dict(m=48, sp=56, pc=64, syscall_sp=112, status=144, id=152, reason=176, procid=72)
    since_123 = dict(until_122, status=152, id=160, reason=184)
    since_125 = dict(until_122, syscall_sp=104, procid=64)
    for minor in range(18, 28):
        at = until_122 if minor < 23 else since_123 if minor < 25 else since_125
        memory = bytearray(0xc00)

        def put(where, *words):
            struct.pack_into(f"<{len(words)}Q", memory, where, *words)
        put(0, base + 0x10, 3)
        put(0x10, base + 0x100, base + 0x300, base + 0x500)
        for number, status in enumerate((4, 2, 3)):
            g = 0x100 + 0x200 * number
            put(g, base + 0x700, base + 0xa00)
            put(g + at["m"], base + 0x40)
            put(g + at["sp"], base + 0x800, 0x400005)
            put(g + at["syscall_sp"], base + 0x800, 0x400025)
            struct.pack_into("<I", memory, g + at["status"], status)
            put(g + at["id"], number + 1)
            memory[g + at["reason"]] = 1
        put(0x40 + at["procid"], 7)
        for word in range(0x800, 0xa00, 8):
            put(word, 0x400005 if word % 24 else 0x400025)
        put(0xb10, base + 0xb40, 4)
        memory[0xb40:0xb44] = b"chan"
        table = go()["go118" if minor < 20 else "go120"]
        change = struct.pack("<IQ", 0x100 + at["status"], 2)
        seeds[f"go1{minor}"] = bytes([minor - 18, 1]) + change + struct.pack("<I", len(table)) + table + bytes(memory)
    return seeds


def green():
    lie = lambda skip, kind, where, value: struct.pack("<HBBQ", skip, kind, where, value)
    return {f"{program}-{skip}": bytes([program]) + lie(skip, 0, 3, 1) + lie(skip, 1, 8, 0x7FFF00000000) + lie(skip, 2, 16, 8)
            for program in (0, 1, 2) for skip in (0, 40, 400)}


def qemu():
    """A leader, one that runs and was entered by it, one that waits, a spare, one on a queue; one that changes before the stop; a circle of callers."""
    heap, code, stacks, every, bytes_ = 0x10000, 0x400000, 0x7F0000000000, 0x20000, 0x10000
    mangle = lambda value: (value << 17 | value >> 47) & (1 << 64) - 1

    def coroutine(number, caller=0, scheduled=0, own=True):
        stack = stacks + number * every - 4096
        words = [0] * 21
        words[0], words[1], words[2], words[6] = code + 16, heap, caller, scheduled
        words[11], words[12] = (stack, bytes_ + 4096) if own else (0, 0)
        words[13:21] = [1, mangle(stack + 0x9000), 2, 3, 4, 5, mangle(stack + 0x8000), mangle(code + 32)]
        return struct.pack("<21Q", *words)

    at = lambda number: heap + 8 + number * 168
    memory = bytes(8) + coroutine(7, own=False) + coroutine(0, caller=at(0)) + coroutine(1) + coroutine(2, scheduled=at(5)) + coroutine(3, caller=at(4))
    memory += b"aio_co_schedule\0qemu_co_sleep_ns\0" + bytes(95)
    tops = lambda *sites: bytes(8 * (16 - len(sites))) + struct.pack(f"<{len(sites)}Q", *sites)
    change = lambda where, value: struct.pack("<HQ", where, value)
    return {"all": b"\0" + memory + tops(code + 8), "spare": b"\0" + memory + tops(code + 8, 1, 2),
            "changes": b"\2" + change(8 + 168 + 88, 0) + change(8 + 2 * 168 + 16, at(2)) + memory + tops(code + 24),
            "border": b"\0" + b"\x0c" + memory[1:] + tops()}


def snapshot():
    do = lambda what, *numbers: bytes([what]) + struct.pack(f"<{len(numbers)}H", *numbers)
    reads = b"".join(do(3, at, 100, at + 40, 200) for at in range(0, 4000, 300))
    return {"allocates": do(0, 100) + do(1, 5000, 17) + do(0, 5000) + do(5) + do(0, 65535) + do(1, 9, 9) + do(6, 60000) + do(0, 1),
            "segments": do(2, 3, 0, 300, 200, 300, 100, 50, 3000, 511) + reads + do(2, 0, 150, 300) + reads,
            "live": do(2, 1, 3000, 100, 3500, 10) + do(3, 3060, 30, 2990, 500) + do(3, 0, 0, 3072, 511) + do(3, 0, 0, 3900, 300),
            "maps": do(4, 500, 3, 100, 200, 0, 300, 50, 50) + do(4, 0, 0) + do(4, 301, 16, *([7, 9] * 16))}


def symbolize():
    """Frames all over fuzz_small, by a list of modules and each for itself; `~` is its build id."""
    base = 0x5500000000
    frame = lambda at, **more: {"pc": hex(base + at), "module": "/no/small", "build_id": "~", **more}
    stacks = [{"frames": [frame(at), frame(at + 5, guessed=True), frame(at + 16, signal_frame=True), frame(0x1080), frame(0x1060, inlined=True)]}
              for at in range(0x1040, 0x1200, 8)]
    each = [{"frames": [frame(at, module_offset=hex(at), function="f", offset=3), frame(at + 9, module_offset=hex(at + 9))]} for at in range(0x1040, 0x1200, 24)]
    modules = [{"path": "/no/small", "start": hex(base), "end": hex(base + 0x5000), "build_id": "~"},
               {"path": "/bin/true", "start": "0x1", "end": "0xffffffffffffffff", "build_id": "0123456789"}]
    seeds = {f"listed-{i}": {"modules": modules, "stacks": stacks[i::8]} for i in range(8)}
    seeds |= {"each": {"stacks": each}, "both": {"modules": modules[::-1], "stacks": each[:4] + stacks[:2], "threads": [{"id": 1, "stack": 0}]}}
    # Spaces at the end: the view goes by the size.
    return {name: json.dumps({"schema": "gmr-report/1", **report, "report": {"id": "x", "status": "complete"}}).encode() + b" " * (i % 3)
            for i, (name, report) in enumerate(seeds.items())}


def names():
    return {"pids": b"1.sock\n999999999.sock\n007.sock\n4294967297.sock\n2147483647.sock\n-1.sock",
            "others": b"12.socket\n.sock\nx.sock\n12.sock.sock\n12 .sock\n12\n0.sock\n99999999999999999999999.sock\n" + b"9" * 250 + b".sock\n" + b"1" * 300}


def main():
    to = pathlib.Path(sys.argv[1])
    for name, make in (("wire", wire), ("arena", arena), ("stored", stored), ("ini", ini), ("socket", socket), ("proc", proc), ("core", core), ("elf", elf),
                       ("text", texts), ("cache", cache), ("go", go), ("goroutines", goroutines), ("green", green), ("symbolize", symbolize), ("names", names),
                       ("qemu", qemu), ("snapshot", snapshot)):
        folder = to / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, data in make().items():
            (folder / seed).write_bytes(data)
        found = HERE / "corpus" / name
        if found.is_dir():
            for path in found.iterdir():
                shutil.copy(path, folder / path.name)


if __name__ == "__main__":
    main()
