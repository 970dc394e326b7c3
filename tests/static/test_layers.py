#!/usr/bin/python3
"""Reads the includes and fails when a layer reaches up; reads the objects and fails when async-signal-safe code refers to what isn't."""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import BUILD, ROOT, check, suite  # noqa: E402  pylint: disable=wrong-import-position

# Bottom to top, as doc/design.md draws them; a file includes its own layer and those before it. Those in one string stand side by side and
# may include each other: arch has the system-call stub, sys the types around it.
LAYERS = ["arch sys", "snapshot", "capture", "symbol", "unwind", "green", "view", "section", "config", "report", "trigger", "cli"]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}

# What an *_as.c object may refer to outside the project. Nothing of libc: not even memcpy, which is an ifunc there, resolved by a
# loader whose lock a stuck process may hold. But for two that only wrap a system call or fill memory, and one that is called while setting up.
ALLOWED = {"_GLOBAL_OFFSET_TABLE_", "sigaction", "sigfillset"}
AT_SETUP = {"capture_self_modules_as.c.o": {"dl_iterate_phdr"}}


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if found:
            yield number, found.group(1)


@suite.test
def no_layer_reaches_up(_t):
    wrong = []
    for path in sorted((ROOT / "src").glob("*/*.[ch]")):
        layer = path.parent.name
        check(layer in RANK, f"{layer} has no place in LAYERS")
        for number, name in includes(path):
            other = name.split("/")[0]
            if other == "gmr" or "/" not in name:
                continue
            if other not in RANK or RANK[other] > RANK[layer]:
                wrong.append(f"{path.relative_to(ROOT)}:{number} includes {name}")
    check(not wrong, "\n" + "\n".join(wrong))


@suite.test
def architecture_stays_in_arch(_t):
    wrong = []
    for path in sorted((ROOT / "src").glob("*/*.[ch]")):
        if path.parent.name == "arch":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.match(r"\s*#\s*(el)?if.*\b__(x86_64|aarch64|i386|arm)__\b", line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}")
    check(not wrong, "\n" + "\n".join(wrong))


@suite.test
def public_headers_stand_alone(t):
    headers = [path.name for path in sorted((ROOT / "include").glob("gmr/*.h"))]
    for names in [[name] for name in headers] + [headers, headers[::-1]]:  # each alone, and all together
        source = t.tmp / "alone.c"
        source.write_text("".join(f"#include <gmr/{name}>\n" for name in names))
        for command in (["gcc", "-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror"], ["g++", "-x", "c++", "-std=c++11", "-Wall", "-Werror"]):
            result = subprocess.run([*command, "-fsyntax-only", f"-I{ROOT}/include", str(source)], stderr=subprocess.PIPE, text=True, check=False)
            check(result.returncode == 0, names, command[0], result.stderr)


def symbols(path, which, kinds=None):
    result = subprocess.run(["nm", which, str(path)], stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    return {parts[-1] for parts in lines if kinds is None or parts[-2] in kinds}


@suite.test
def async_signal_safe_objects_refer_to_nothing_else(_t):
    objects = {path for path in BUILD.glob("src/lib*.p/*_as.c.o")}
    check(len(objects) > 20, "too few objects under", BUILD, objects)
    everything = {path for path in BUILD.glob("src/lib*.p/*.c.o")}
    safe = set()
    for path in everything:
        whole = path in objects or path.name.startswith("arch_")
        safe |= symbols(path, "--defined-only", None if whole else set("BDRbdr"))
    wrong = []
    for path in sorted(objects):
        for name in sorted(symbols(path, "--undefined-only") - ALLOWED - safe - AT_SETUP.get(path.name, set())):
            wrong.append(f"{path.name} refers to {name}")
    check(not wrong, "\n" + "\n".join(wrong))


@suite.test
def async_signal_safe_objects_have_no_thread_local_storage(_t):
    wrong = []
    for path in BUILD.glob("src/lib*.p/*_as.c.o"):
        result = subprocess.run(["readelf", "-SW", str(path)], stdout=subprocess.PIPE, text=True, check=True)
        if re.search(r"\.t(bss|data)\b", result.stdout):
            wrong.append(path.name)
    check(not wrong, wrong)


if __name__ == "__main__":
    suite.main()
