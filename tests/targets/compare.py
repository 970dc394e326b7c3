"""Stacks as gdb and as gmr tell them, brought to one form and compared.

Names: gdb prints the parameters of a function that it knows from the symbol table alone, gmr never does; both are cut before the
comparison. Two names for one address (`poll` and `__poll`) are the same function: which of them is shown is taste, so aliases,
looked up in the modules' own symbol tables, count as equal.
"""
import functools
import json
import os
import pathlib
import re
import subprocess

TIMEOUT = 300
GDB = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set print frame-arguments presence",
       "-iex", "set auto-load off", "-iex", "set backtrace limit unlimited", "-iex", "set backtrace past-main on",
       "-iex", "set width 0", "-iex", "set confirm off"]

THREAD = re.compile(r"^Thread \d+ \((?:Thread 0x[0-9a-f]+ )?\(?(?:LWP|process) (\d+)\)?")
FRAME = re.compile(r"^#(\d+)\s+(?:(0x[0-9a-f]+) in )?(.+?)(?: \((?:\.\.\.)?\))?(?: at (\S+?:\d+)| from (\S+))?$")
SIGNAL = "<signal handler called>"
STARTS = {"_start", "clone", "clone3", "__clone", "__clone3", "start_thread", "__libc_start_main_impl", "__libc_start_call_main"}


class Frame:
    def __init__(self, name, pc=None, kind=""):
        self.name, self.pc, self.kind = name, pc, kind

    def __repr__(self):
        return f"{self.name or '??'}{' [' + self.kind + ']' if self.kind else ''}"


def cut_parameters(name):
    """"f(int) const" -> "f"; "operator()(int)" -> "operator()"; "(anonymous namespace)::f(int)" -> "(anonymous namespace)::f"."""
    name = re.sub(r"(\[clone [^]]*\]|\.(constprop|part|isra|cold|lto_priv|llvm)\.?\d*)+$", "", name.strip()).strip()
    name = re.sub(r"(\.(constprop|part|isra|cold|lto_priv|llvm)(\.\d+)?|\[cold\])+$", "", name)
    changed = True
    while changed:
        changed = False
        for suffix in (" const", " volatile", " &", " &&", " noexcept"):
            if name.endswith(suffix):
                name, changed = name[:-len(suffix)], True
    if name.endswith(")") and not name.endswith("operator()"):
        depth = 0
        for at in range(len(name) - 1, -1, -1):
            depth += (name[at] == ")") - (name[at] == "(")
            if depth == 0:
                head = name[:at]
                return head if head and not head.endswith("::") else name
    return name


def cut_return_type(name):
    """"int outer::f<short>" -> "outer::f<short>": gdb prints it of templates it knows from the symbol table."""
    if "operator" in name:
        return name
    depth, last = 0, -1
    for at, c in enumerate(name):
        depth += (c in "<(") - (c in ">)")
        if c == " " and depth == 0:
            last = at
    return name[last + 1:]


def rust(name):
    """The last part of a Rust path, without generic arguments: gdb builds its names from the debug information
    (`{impl#1}::drop`, `{closure#0}`), gmr demangles (`<Dropped as Drop>::drop`, `{{closure}}`), as Rust's own backtraces do."""
    name = re.sub(r"\{+closure[^}]*\}+", "closure", re.sub(r"(::\{shim:[^}]*\}|\{\{vtable.shim\}\})$", "", name))
    depth, plain = 0, ""
    for c in name.replace("->", ""):
        depth += (c in "<(") - (c in ">)")
        if depth == 0 and c not in ">)":
            plain += c
    return [part for part in plain.split("::") if part.strip()][-1:]


@functools.lru_cache(maxsize=None)
def normal(name):
    if name is None or name == "??":
        return None
    name = cut_return_type(cut_parameters(name))
    return name.replace("{lambda(", "<lambda(").replace(" >", ">")


# ---------------------------------------------------------------------------------------- gdb

def gdb(arguments, prefix=(), cwd=None):
    """The threads of `gdb -batch ... -ex 'thread apply all bt'`: {tid: [Frame]}, and its whole output."""
    result = subprocess.run([*prefix, *GDB, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            encoding="utf-8", errors="replace", timeout=TIMEOUT, check=False, cwd=cwd)
    threads, current = {}, None
    for line in result.stdout.splitlines():
        thread, frame = THREAD.match(line), FRAME.match(line)
        if thread:
            current = threads.setdefault(int(thread[1]), [])
        elif frame and current is not None:
            if int(frame[1]) != len(current):
                continue  # the line that gdb prints of where it stopped
            name = frame[3]
            current.append(Frame(name, int(frame[2], 16) if frame[2] else None, "signal" if name == SIGNAL else ""))
    return threads, result.stdout + result.stderr


# ---------------------------------------------------------------------------------------- gmr

def gmr_frames(document):
    threads = {}
    stacks = document["stacks"]
    for thread in document["threads"]:
        if "stack" not in thread:
            threads[thread["id"]] = []
            continue
        stack = stacks[thread["stack"]]
        threads[thread["id"]] = [
            Frame(frame.get("function"), int(frame["pc"], 16),
                  "signal" if frame.get("signal_frame") else "inlined" if frame.get("inlined") else
                  "tail" if frame.get("tail_call") else "guessed" if frame.get("guessed") else "")
            for frame in stack["frames"] if "language" not in frame]  # gdb knows of no Python
    return threads


def gmr(arguments, prefix=(), cwd=None, env=None):
    result = subprocess.run([*prefix, *arguments, "--format", "json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, encoding="utf-8", errors="replace", timeout=TIMEOUT, check=False, cwd=cwd, env=env)
    if not result.stdout:
        raise AssertionError(f"gmr ended with {result.returncode}: {result.stderr}")
    return gmr_frames(json.loads(result.stdout)), result.stderr


# ---------------------------------------------------------------------------------------- aliases

@functools.lru_cache(maxsize=None)
def debug_files(path):
    """A file, and that which holds its debug information."""
    paths = [path]
    notes = subprocess.run(["readelf", "-n", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
                           errors="replace", check=False).stdout
    for line in notes.splitlines():
        if "Build ID:" in line:
            identity = line.split()[-1]
            paths.append(f"/usr/lib/debug/.build-id/{identity[:2]}/{identity[2:]}.debug")
    return paths


@functools.lru_cache(maxsize=None)
def symbols(path):
    """name -> addresses, of a file and its debug file."""
    names = {}
    for file in debug_files(path):
        for table in ([], ["-D"]):
            if not os.path.exists(file):
                continue
            out = subprocess.run(["nm", "-C", *table, file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
                                 errors="replace", check=False).stdout
            for line in out.splitlines():
                parts = line.split(None, 2)
                if len(parts) == 3 and parts[1] in "tTwWiu":
                    name = normal(parts[2].split("@")[0])
                    names.setdefault(name, set()).add(parts[0])
    return names


@functools.lru_cache(maxsize=None)
def raw_symbols(path):
    """The names as they stand in a file and its debug file."""
    names = set()
    for file in debug_files(path):
        out = subprocess.run(["nm", file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", errors="replace",
                             check=False).stdout
        names.update(line.split()[-1] for line in out.splitlines() if line)
    return frozenset(names)


def aliases(a, b, modules):
    for module in modules:
        table = symbols(module)
        if table.get(a, set()) & table.get(b, set()):
            return True
    return False


# ---------------------------------------------------------------------------------------- comparison

# Two functions of libc are called pthread_kill: that of today, and one kept for old programs. gdb looks for the callee of a tail call by
# name and takes the old one, which the program does not call (its symbol table asks for version GLIBC_2.34).
OLD_VERSIONS = {"__pthread_kill_esrch": ("__pthread_kill_internal", "__GI___pthread_kill")}


def correct(theirs, ours):
    """gdb's frames with its mistakes of that kind put right, where gmr has the right ones."""
    names = {frame.name for frame in ours}
    frames = []
    for frame in theirs:
        right = OLD_VERSIONS.get(frame.name, ())
        frames += [Frame(name) for name in right] if right and names.issuperset(right) else [frame]
    return frames


def same(theirs, ours, modules, language):
    if theirs.kind == "signal" or ours.kind == "signal":
        return theirs.kind == ours.kind
    a, b = normal(theirs.name), normal(ours.name)
    if a == b:
        return True
    if a == "operator()" and b and b.endswith("::{lambda}::operator()"):
        return True  # gdb leaves out whose lambda it is
    if language == "rust" and a and b and rust(theirs.name) == rust(ours.name):
        return True
    return a is not None and b is not None and aliases(a, b, modules)


def without_cold(frames, modules):
    """Without tail calls of functions that have a part split off (f.cold): gdb 13 gives up when it looks for the tail calls of such a function,
    since one of the addresses that it has of it is not where it begins."""
    return [frame for frame in frames
            if frame.kind != "tail" or not any(f"{frame.name}.cold" in raw_symbols(module) for module in modules)]


def tails_as_gdb(frames):
    """A tail call's inlined calls as gdb shows them: of all that stand at that pc only the innermost, as if it were the function itself."""
    shown = []
    for frame in frames:
        run = []
        while frame.kind == "tail" and shown and shown[-1].kind == "inlined":
            run.append(shown.pop())
        shown.append(Frame(run[-1].name, frame.pc, "tail") if run else frame)
    return shown


def equal(theirs, ours, modules, language):
    return len(theirs) == len(ours) and all(same(x, y, modules, language) for x, y in zip(theirs, ours))


def differences(theirs, ours, modules=(), language=None):
    """What is not the same, a text for each thread that differs."""
    found = []
    for tid in sorted(theirs):
        a, b = theirs[tid], ours.get(tid)
        if b is None:
            found.append(f"thread {tid} is missing")
            continue
        a = correct(a, b)
        if not any(equal(a, form, modules, language) for form in (b, without_cold(b, modules), tails_as_gdb(b))):
            first = next((i for i, (x, y) in enumerate(zip(a, b)) if not same(x, y, modules, language)), min(len(a), len(b)))
            from_, to = max(0, first - 2), first + 6
            lines = [f"  ({len(a)} and {len(b)} frames, from frame {from_} on)"]
            lines += [f"{'>' if i == first else ' '} {str(a[i])[:90] if i < len(a) else '-':<40} | {str(b[i])[:90] if i < len(b) else '-'}"
                      for i in range(from_, min(to, max(len(a), len(b))))]
            found.append(f"thread {tid} (gdb, gmr):\n" + "\n".join(lines))
    return found


def is_lost(theirs, ours, whole, modules):
    """Did gdb lose its way in code without call-frame information, where gmr did not? gdb then takes words off the stack for return addresses,
    most of which are in no function. So: gmr's stack is whole; until its first guess both agree; and if gdb finds back to where the thread began, so
    that its outer frames can be trusted, gmr has the same."""
    if not whole or not any(frame.name == "??" for frame in theirs):
        return False
    guessed = next((i for i, frame in enumerate(ours) if frame.kind == "guessed"), len(ours))
    if not all(same(x, y, modules, None) or x.name == "??" for x, y in zip(theirs[:guessed], ours[:guessed])):
        return False
    last = max(i for i, frame in enumerate(theirs) if frame.name == "??")
    found = list(reversed(theirs[last + 1:]))
    if not found or found[0].name not in STARTS:
        return True  # it does not find back
    return len(found) <= len(ours) and all(same(x, y, modules, None) for x, y in zip(found, reversed(ours)))


def is_told(theirs, ours, end, modules):
    """Does gmr's stack end, with the reason in words, where gdb goes on without knowing how? That is: what gmr shows is the same in gdb's list until the
    first guess, and what gdb has beyond leads through addresses in no function (`??`) and not back to where a thread begins."""
    if not end or len(ours) == 0:
        return False
    sure = next((i for i, frame in enumerate(ours) if frame.kind == "guessed"), len(ours))
    if not all(same(x, y, modules, None) for x, y in zip(theirs[:sure], ours[:sure])):
        return False
    beyond = theirs[sure:]
    return not beyond or (any(frame.name == "??" for frame in beyond) and beyond[-1].name not in STARTS)


def mapped_files(pid):
    files = set()
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
        parts = line.split(None, 5)
        if len(parts) == 6 and parts[5].startswith("/") and "x" in parts[1]:
            files.add(parts[5])
    return tuple(sorted(files))


def differences_until_lost(theirs, ours, modules):
    """For a libc without call-frame information: the innermost frame is the same, what follows is marked as guessed until the program's own code,
    which has such information, is reached; and it is reached in every thread, up to its start routine."""
    found = []
    for tid, frames in sorted(theirs.items()):
        mine = ours.get(tid)
        if not mine:
            found.append(f"thread {tid} has no frames")
        elif frames[0].pc and frames[0].pc != mine[0].pc:
            found.append(f"thread {tid} begins elsewhere: {frames[0]} and {mine[0]}")
        elif len(mine) > 1 and mine[1].kind not in ("guessed", "signal", "inlined"):
            found.append(f"thread {tid}: {mine[1]} can't be known, and is not marked as guessed")
        elif not any(frame.name in ("main", "thread") for frame in mine):
            found.append(f"thread {tid} does not lead back to the program: {mine}")
        elif any(frame.name == "main" for frame in mine) and mine[-1].name != "_start":
            found.append(f"thread {tid} does not lead back to the program's entry: {mine}")
        elif any(one.name == two.name and one.pc == two.pc and one.kind == two.kind == "guessed" for one, two in zip(mine, mine[1:])):
            found.append(f"thread {tid} has a frame twice: {mine}")
    return found