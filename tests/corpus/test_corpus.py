"""Core files kept as they are, so that what was read from them once is read tomorrow, on whatever machine. `make` has the recipe."""
import lzma
import pathlib
import platform
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from common import Skip, check, suite  # noqa: E402

CORES = HERE / platform.machine()


def unpack(t, name):
    if not CORES.is_dir():
        raise Skip(f"no cores of {platform.machine()} yet; see tests/corpus/make")
    path = t.tmp / name
    if not path.exists():
        path.write_bytes(lzma.decompress((CORES / f"{name}.xz").read_bytes()))
        path.chmod(0o755)
    return path


def read(t, core, *program, codes=(0,)):
    result = t.gmr("core", "--format", "json", "--no-cache", core, *program)
    check(result.returncode in codes, result.returncode, result.stderr)
    return t.valid_json(result.stdout), result.stderr


def names(document, thread):
    frames = document["stacks"][thread["stack"]]["frames"] if "stack" in thread else []
    return [f.get("function") for f in frames]


@suite.test
def a_crash_without_a_libc(t):
    document, _ = read(t, unpack(t, "crash.core"), unpack(t, "crash"))
    check(len(document["threads"]) == 1, document["threads"])
    check(names(document, document["threads"][0]) == ["third", "second", "inlined", "first", "begin", "_start"], names(document, document["threads"][0]))
    frames = document["stacks"][0]["frames"]
    check(frames[2]["inlined"] and frames[0]["line"] == 8 and frames[0]["file"].endswith("crash.c"), frames)
    check("SIGSEGV" in document["report"]["trigger"] and "0x10" in document["report"]["trigger"], document["report"])
    check(document["processes"][0]["command"] == ["./crash"], document["processes"])


@suite.test
def without_the_program_there_are_modules_and_build_ids(t):
    document, _ = read(t, unpack(t, "crash.core"), codes=(0, 1))
    frame = document["stacks"][0]["frames"][0]
    check(frame["pc"] and frame["module"].endswith("/crash") and len(frame["build_id"]) == 40 and "function" not in frame, frame)


@suite.test
def another_program_is_not_believed(t):
    document, errors = read(t, unpack(t, "crash.core"), t.build("gmr"), codes=(0, 1))
    check("is not the program that made this core" in errors, errors)
    check("function" not in document["stacks"][0]["frames"][0], document["stacks"])


@suite.test
def threads_and_a_signal_handler(t):
    document, _ = read(t, unpack(t, "threads.core"), unpack(t, "threads"), codes=(0, 1))
    stacks = [names(document, thread) for thread in document["threads"]]
    check(len(stacks) == 2, stacks)
    check("SIGABRT" in document["report"]["trigger"], document["report"])
    check(any("handler" in s for s in stacks), stacks)
    check(document["threads"][0]["id"] == document["report"]["pid"], document["threads"])


@suite.test
def a_core_that_was_cut_short(t):
    whole = unpack(t, "threads.core").read_bytes()
    for part in (0, 10, 63, 64, 700, 5000, len(whole) // 2, len(whole) - 1):
        cut = t.tmp / "cut.core"
        cut.write_bytes(whole[:part])
        result = t.gmr("core", "--format", "json", "--no-cache", cut, unpack(t, "threads"))
        check(result.returncode in (0, 1, 3), part, result.returncode, result.stderr)
        if result.returncode == 3:
            check("core file" in result.stderr or "cut short" in result.stderr, result.stderr)
        else:
            t.valid_json(result.stdout)
    check("cut short" in result.stdout, "it is not said that the core is cut short")


@suite.test
def what_is_no_core(t):
    core = unpack(t, "crash.core")
    packed = t.tmp / "core.xz"
    packed.write_bytes((CORES / "crash.core.xz").read_bytes())
    for path, word in ((packed, "unpack it with xz -d"), (t.build("gmr"), "not a core file"), ("/dev/null", "not a file"),
                       (t.tmp / "absent", "can't be opened"), (t.tmp, "not a file")):
        result = t.gmr("core", path)
        check(result.returncode in (3, 4) and word in result.stderr, path, result.returncode, result.stderr)
    check(t.gmr("core", core, t.tmp / "absent").returncode == 3, "an executable that is not there")


@suite.test
def a_core_of_another_processor_is_refused_by_name(t):
    own = unpack(t, "crash.core").read_bytes()
    other, name = (183, "aarch64") if platform.machine() == "x86_64" else (62, "x86_64")
    for machine, word in ((other, f"core file of {name}"), (243, "ELF machine 243")):
        path = t.tmp / "other.core"
        path.write_bytes(own[:18] + machine.to_bytes(2, "little") + own[20:])
        result = t.gmr("core", path)
        check(result.returncode == 3 and word in result.stderr and platform.machine() in result.stderr and "read it with" in result.stderr, result.returncode, result.stderr)


@suite.test
def every_view(t):
    for view in ("text", "xml", "json"):
        result = t.gmr("core", "--format", view, "--no-cache", unpack(t, "crash.core"), unpack(t, "crash"))
        check(result.returncode == 0 and "third" in result.stdout and "inlined" in result.stdout, view, result.stdout[-500:])


if __name__ == "__main__":
    suite.main()
