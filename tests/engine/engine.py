"""What the tests of the engine share: the probe and the helper programs."""
import json
import pathlib
import subprocess

from common import TIMEOUT, Skip, check

# What must be there between the innermost function and "run": the program's own, in order. "0x0": the call of a null pointer.
OWN = {
    "altstack": ["altstack_inner", "altstack_outer"],
    "inside": ["inside_inner", "inside_outer"],
    "nested": ["nested_inner", "nested_middle", "nested_outer"],
    "null": ["null_inner", "null_outer"],
    "aligned": ["aligned_inner", "aligned_outer"],
    "deep": ["deep_inner"] * 100001 + ["deep_outer"],
    "noreturn": ["noreturn_inner", "noreturn_outer"],
    "framedasm": ["framedasm_inner", "framed_asm", "framedasm_outer"],
    "leafasm": ["spinning_asm", "leafasm_outer"],
    "jit": ["jit_inner", "jit_outer"],
}


def probe(t, *arguments):
    result = subprocess.run([t.build("tests/engine/probe"), *map(str, arguments)], stdout=subprocess.PIPE, timeout=TIMEOUT,
                            encoding="utf-8", check=False)
    check(result.stdout, "probe ended with", result.returncode)
    return json.loads(result.stdout)


def start(t, *argv):
    """A helper that prints a line beginning with "ready"; its stdin and stdout are pipes."""
    process = t.spawn([t.build(f"tests/engine/{argv[0]}"), *argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    check(process.popen.stdout.readline().startswith(b"ready"), argv, "did not start")
    return process


def finish(process):
    """Ends its standard input; what it still printed."""
    process.popen.stdin.close()
    output = process.popen.stdout.read()
    process.popen.wait(TIMEOUT)
    return output.decode()


def report(t, process, *options):
    result = subprocess.run([t.build("tests/engine/probe"), "stacks", str(process.pid), *options], stdout=subprocess.PIPE,
                            timeout=TIMEOUT, check=True)
    return json.loads(result.stdout)


def arrived(document):
    """Are all threads where they are to be in the end?"""
    threads = {thread["name"]: thread for thread in document["threads"]}
    for shape, own in OWN.items():
        stack = document["stacks"][threads[shape]["stack"]] if shape in threads and "stack" in threads[shape] else {"frames": []}
        names = [frame.get("function", "") for frame in stack["frames"]]
        if own[0] not in names or (shape != "leafasm" and "wait_here" not in names):
            return False
    return True


def look(t, variant):
    if not pathlib.Path(t.build("tests/engine/probe")).with_name(variant).exists():
        raise Skip(f"{variant} is not built here")
    process = t.spawn([t.build(f"tests/engine/{variant}")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    check(process.popen.stdout.readline() == b"ready\n", "no start")
    t.wait(lambda: arrived(report(t, process, "frames=50")), "all threads to be in place", alive=process)
    return report(t, process, "frames=200000", "stack=40000000"), process
