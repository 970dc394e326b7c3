"""The collection of targets: small programs that together have everything that real ones have in their stacks, and how each is built and run.

A Target is built into a directory of its own, once, and again when its sources are newer. `steps` are functions that work on the
built file (split its debug information off, strip it, ...). `after` runs when the program stands and gdb has looked at it:
that is when executables and libraries are deleted or replaced.
"""
import os
import pathlib
import shutil
import subprocess

SOURCES = pathlib.Path(__file__).resolve().parent / "src"


class Missing(Exception):
    """A tool that is needed is not here."""


def tool(name):
    path = shutil.which(name)
    if not path:
        raise Missing(f"{name} is not installed")
    return path


def run(*arguments, **options):
    result = subprocess.run([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                            errors="replace", check=False, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {result.stdout[-2000:]}")
    return result.stdout


class Target:
    def __init__(self, name, sources, flags="", compiler=None, steps=(), stops=1, frames=None, container=False,
                 hide_debug=False, after=None, library=None, root_only=False, expected=None, core=True, debug_root=None,
                 stack_bytes=None, without_cfi=False, user=None):
        self.name, self.sources, self.flags, self.steps = name, sources.split(), flags.split(), steps
        self.compiler = compiler or ("g++" if sources.endswith(".cc") else "gcc")
        self.stops = stops              # how often to stop it and look
        self.frames = frames            # --max-frames
        self.container = container      # in a mount and pid namespace, a root of its own
        self.hide_debug = hide_debug    # as if no debug symbols of libc were installed
        self.after = after              # (target, directory): once gdb has looked
        self.library = library          # flags of libshapes.so: the shapes stand in a library
        self.user = user                # the process, gdb and gmr run as this one
        self.root_only = root_only or container or hide_debug or bool(debug_root) or bool(user)
        self.expected = expected        # where gdb is lost: what the first thread beside main shall be
        self.core = core
        self.debug_root = debug_root    # directory of the target's that is /usr/lib/debug to all three
        self.stack_bytes = stack_bytes
        self.without_cfi = without_cfi  # its libc has no call-frame information: gdb gets lost
        self.language = "rust" if sources.endswith(".rs") else None

    def build(self, directory):
        """The path of the program."""
        directory = directory / self.name
        program = directory / "target"
        newest = max(p.stat().st_mtime for p in [*SOURCES.iterdir(), pathlib.Path(__file__)])
        stamp = directory / "stamp"
        if stamp.exists() and stamp.stat().st_mtime > newest:
            return program
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        sources = [SOURCES / s for s in self.sources]
        if self.sources[0].endswith(".rs"):
            run(tool("rustc"), *self.flags, "-o", program, *sources, cwd=directory)
        elif self.library is not None:
            run(tool(self.compiler), "-shared", "-fPIC", "-Dmain=library_main", "-o", "libshapes.so", *self.library.split(),
                *sources, "-pthread", cwd=directory)
            run(tool(self.compiler), "-Wl,-rpath,$ORIGIN", "-o", program, *self.flags, SOURCES / "loader.c", "libshapes.so", "-pthread",
                cwd=directory)
        else:
            run(tool(self.compiler), "-Wno-infinite-recursion" if self.compiler != "clang" else "-w", *self.flags, "-o", program, *sources,
                "-pthread", cwd=directory)
        for step in self.steps:
            step(directory, program)
        stamp.touch()
        return program


# ---------------------------------------------------------------------------------------- steps

def strip(directory, program):
    run("strip", program)


def strip_debug(directory, program):
    run("strip", "-g", program)


def split(directory, program):
    """target.debug beside it, and a link."""
    debug = directory / "target.debug"
    run("objcopy", "--only-keep-debug", program, debug)
    run("strip", program)
    run("objcopy", f"--add-gnu-debuglink={debug.name}", program, cwd=directory)


def split_to_debug_directory(directory, program):
    split(directory, program)
    (directory / ".debug").mkdir()
    (directory / "target.debug").rename(directory / ".debug/target.debug")


def build_id(program):
    for line in run("readelf", "-n", program).splitlines():
        if "Build ID:" in line:
            return line.split()[-1]
    raise RuntimeError("no build id")


def split_by_build_id(directory, program):
    """debug/.build-id/ab/cdef.debug, no link."""
    identity = build_id(program)
    to = directory / "debug/.build-id" / identity[:2]
    to.mkdir(parents=True)
    run("objcopy", "--only-keep-debug", program, to / f"{identity[2:]}.debug")
    run("strip", program)


def dwz(directory, program):
    run(tool("dwz"), program)


def dwz_shared(directory, program):
    """Two files share a third: .gnu_debugaltlink."""
    other = directory / "other"
    shutil.copy(program, other)
    run(tool("dwz"), "-m", directory / "shared.dwz", "-M", str(directory / "shared.dwz"), program, other)


def mini(directory, program):
    """Function symbols only, as xz, in .gnu_debugdata."""
    symbols = directory / "symbols"
    shutil.copy(program, symbols)
    run("strip", "-g", symbols)
    run(tool("xz"), "-f", "-k", symbols)
    run("strip", program)
    run("objcopy", "--add-section", f".gnu_debugdata={symbols}.xz", program)


def no_build_id_section(directory, program):
    run("objcopy", "--remove-section", ".note.gnu.build-id", program)


# ---------------------------------------------------------------------------------------- what happens to a standing program

def delete_program(target, directory):
    (directory / "target").unlink()


def replace_program(target, directory):
    shutil.copy("/bin/true", directory / "new")
    os.replace(directory / "new", directory / "target")


def delete_library(target, directory):
    (directory / "libshapes.so").unlink()


def replace_library(target, directory):
    shutil.copy("/lib/x86_64-linux-gnu/libz.so.1", directory / "new")
    os.replace(directory / "new", directory / "libshapes.so")


C, CC = "shapes.c", "shapes.cc"

TARGETS = [
    *[Target(f"c{level}", C, f"-g -{level}") for level in ("O0", "O1", "O2", "O3", "Os")],
    Target("og", C, "-g -Og"),
    Target("o2-frame-pointer", C, "-g -O2 -fno-omit-frame-pointer"),
    Target("o2-no-debug", C, "-O2"),
    Target("o3-native-cold", C, "-g -O3 -freorder-blocks-and-partition"),
    Target("no-pie", C, "-g -O2 -no-pie"),
    Target("static", C, "-g -O2 -static"),
    Target("static-pie", C, "-g -O2 -static-pie"),
    Target("static-stripped", C, "-g -O2 -static", steps=[strip]),
    Target("stripped", C, "-O2", steps=[strip]),
    Target("stripped-dynamic-symbols", C, "-O2 -rdynamic", steps=[strip]),
    Target("debug-frame-only", C, "-g -O2 -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions"),
    Target("debug-frame-only-split", C, "-g -O2 -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions",
           steps=[split]),
    Target("debuglink", C, "-g -O2", steps=[split]),
    Target("debuglink-directory", C, "-g -O2", steps=[split_to_debug_directory]),
    Target("debuglink-crc", C, "-g -O2 -Wl,--build-id=none", steps=[split]),
    Target("build-id", C, "-g -O2", steps=[split_by_build_id], debug_root="debug"),
    Target("compressed", C, "-g -O2 -gz=zlib"),
    Target("compressed-gnu", C, "-g -O2 -gdwarf-4 -gz=zlib-gnu"),
    Target("compressed-zstd", C, "-g -O2 -Wl,--compress-debug-sections=zstd"),
    Target("dwarf4", C, "-g -O2 -gdwarf-4"),
    Target("dwarf4-split", C, "-g -O2 -gdwarf-4 -gsplit-dwarf"),
    Target("dwarf5-split", C, "-g -O2 -gdwarf-5 -gsplit-dwarf"),
    Target("dwz", C, "-g -O2 -gdwarf-5", steps=[dwz]),
    Target("dwz-shared", CC, "-g -O2 -gdwarf-5", steps=[dwz_shared]),
    Target("lto", C, "-g -O2 -flto"),
    Target("mini-debug", C, "-g -O2", steps=[mini]),
    Target("clang", C, "-g -O2", compiler="clang"),
    Target("clang-o0", C, "-g -O0", compiler="clang"),
    Target("clang-dwarf4", C, "-g -O2 -gdwarf-4", compiler="clang"),
    Target("cc-o0", CC, "-g -O0"),
    Target("cc-o2", CC, "-g -O2"),
    Target("cc-o3", CC, "-g -O3"),
    Target("cc-no-debug", CC, "-O2"),
    Target("cc-stripped", CC, "-O2", steps=[strip]),
    Target("cc-lto", CC, "-g -O2 -flto"),
    Target("cc-clang", CC, "-g -O2", compiler="clang++"),
    Target("cc-static", CC, "-g -O2 -static"),
    Target("rust", "shapes.rs", "-g"),
    Target("rust-optimized", "shapes.rs", "-g -O"),
    Target("rust-v0", "shapes.rs", "-g -C symbol-mangling-version=v0"),
    Target("assembly", "assembly.c assembly.S", "-g -O2"),
    Target("assembly-no-debug", "assembly.c assembly.S", "-O2"),
    Target("jit", "jit.c", "-g -O2", expected=["__libc_pause", "wait_here", "jit_function", "thread", "start_thread", "clone3"]),
    Target("moving", "moving.c", "-g -O2", stops=10),
    Target("moving-lazy", "moving.c", "-g -O1 -Wl,-z,lazy", stops=5),
    Target("moving-o0", "moving.c", "-g -O0", stops=5),
    Target("moving-static", "moving.c", "-g -O2 -static", stops=3),
    Target("deep", "deep.c", "-g -O2", frames=200000, stack_bytes=64 << 20),
    Target("library", C, "-g -O2", library="-g -O2"),
    Target("program-deleted", C, "-g -O2", after=delete_program),
    Target("program-replaced", C, "-g -O2", after=replace_program),
    Target("library-deleted", C, "-g -O2", library="-g -O2", after=delete_library),
    Target("library-replaced", C, "-g -O2", library="-g -O2", after=replace_library),
    Target("library-no-build-id", C, "-g -O2", library="-g -O2 -Wl,--build-id=none"),
    Target("musl", C, "-g -O2", compiler="musl-gcc", without_cfi=True),
    Target("musl-static", C, "-g -O2 -static", compiler="musl-gcc", without_cfi=True),
    Target("container", C, "-g -O2", container=True),
    Target("another-user", C, "-g -O2", user=65534),
    Target("libc-without-symbols", C, "-g -O2", hide_debug=True),
    Target("cc-libc-without-symbols", CC, "-O2", hide_debug=True),
]
