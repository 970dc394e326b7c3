"""What the tests of the engine share: the probe and the helper programs."""
import json
import subprocess

from common import TIMEOUT, check


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
