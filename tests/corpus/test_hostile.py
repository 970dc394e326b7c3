"""ELF and DWARF that lie: bytes of a program's debug information, symbols and call-frame information are changed at random (the same ones in
each run; SEED and RUNS choose others), and a core is read with it. Whatever comes out, the command ends by itself, in time, with a valid report."""
import lzma
import os
import pathlib
import platform
import random
import re
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from common import Skip, check, suite  # noqa: E402

CORES = HERE / platform.machine()
SEED, RUNS = int(os.environ.get("SEED", "1")), int(os.environ.get("RUNS", "60"))
SECTION = re.compile(r"\s*\[\s*\d+\]\s+(\S+)\s+\S+\s+[0-9a-f]+\s+([0-9a-f]+)\s+([0-9a-f]+)")
LYING = (".debug", ".eh_frame", ".symtab", ".strtab", ".dynsym", ".rela", ".plt")


def sections(path):
    found = []
    for line in subprocess.run(["readelf", "-SW", path], stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout.splitlines():
        match = SECTION.match(line)
        if match and match[1].startswith(LYING) and int(match[3], 16):
            found.append((int(match[2], 16), int(match[3], 16)))
    return found


def changed(data, places, dice):
    """A copy with a few bytes of one of the sections changed."""
    copy = bytearray(data)
    offset, size = dice.choice(places)
    for _ in range(dice.choice([1, 1, 2, 8, 64])):
        at = offset + dice.randrange(size)
        copy[at] = dice.choice([0, 0xff, 0x7f, 0x80, dice.randrange(256), copy[at] ^ 1 << dice.randrange(8)])
    return copy


def lies(t, name):
    if not CORES.is_dir():
        raise Skip(f"no cores of {platform.machine()} yet; see tests/corpus/make")
    dice = random.Random(SEED)
    core, program = t.tmp / "core", t.tmp / "program"
    core.write_bytes(lzma.decompress((CORES / f"{name}.core.xz").read_bytes()))
    data = lzma.decompress((CORES / f"{name}.xz").read_bytes())
    program.write_bytes(data)
    places = sections(program)
    check(len(places) > 8, places)
    for number in range(RUNS):
        lying = changed(data, places, dice)
        program.write_bytes(lying)
        result = t.gmr("core", "--format", "json", "--no-cache", core, program)
        check(result.returncode in (0, 1), f"run {number} of seed {SEED} ended with {result.returncode}:", result.stderr)
        document = t.valid_json(result.stdout)
        check(document["threads"], "no threads")


@suite.test
def about_a_crash(t):
    lies(t, "crash")


@suite.test
def about_threads(t):
    lies(t, "threads")


def padded(t, name):
    """The program, so big that it is mapped and not read: a section of nothing behind all others."""
    program, padding = t.tmp / name, t.tmp / "padding"
    program.write_bytes(lzma.decompress((CORES / f"{name}.xz").read_bytes()))
    padding.write_bytes(bytes(40 << 20))
    subprocess.run(["objcopy", "--add-section", f".padding={padding}", program], check=True)
    return program


@suite.test
def in_files_that_shrink_and_grow_while_they_are_read(t):
    """Somebody copies a new version over the program, or over the core: what is there is told, nobody dies of what is gone."""
    if not CORES.is_dir():
        raise Skip(f"no cores of {platform.machine()} yet; see tests/corpus/make")
    program, core = padded(t, "threads"), t.tmp / "threads.core"
    core.write_bytes(lzma.decompress((CORES / "threads.core.xz").read_bytes()))
    command = ("core", "--format", "json", "--no-cache", core, program)
    whole = t.valid_json(t.gmr(*command).stdout)
    check(any(f.get("function") == "handler" for s in whole["stacks"] for f in s["frames"]), whole["stacks"])
    for path in (program, core):
        data, stop = path.read_bytes(), threading.Event()
        dice = random.Random(SEED)

        def rewrite(path=path, data=data, stop=stop, dice=dice):
            with open(path, "r+b", buffering=0) as file:
                while not stop.is_set():
                    file.truncate(dice.choice([0, 64, 4096, len(data) // 3]))
                    stop.wait(dice.random() * 0.02)
                    file.seek(0)
                    file.write(data)
                    stop.wait(dice.random() * 0.02)
                file.truncate(0)
                file.seek(0)
                file.write(data)

        writer = threading.Thread(target=rewrite)
        writer.start()
        try:
            for _ in range(RUNS // 3):
                result = t.gmr(*command)
                check(result.returncode in (0, 1, 3), f"{path.name} changed: ended with {result.returncode}:", result.stderr)
                if result.returncode != 3:
                    t.valid_json(result.stdout)
        finally:
            stop.set()
            writer.join()
    again = t.valid_json(t.gmr(*command).stdout)
    check(again["stacks"] == whole["stacks"], again["stacks"])


if __name__ == "__main__":
    suite.main()
