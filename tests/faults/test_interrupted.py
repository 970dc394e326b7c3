"""A report must not show in the program's calls: no EINTR for the trigger's sake, every EINTR of the program's own."""
import os
import pathlib
import platform
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import Skip, check, suite  # noqa: E402


@suite.test
def no_call_of_the_program_is_interrupted(t):
    if platform.machine() != "x86_64":
        raise Skip("calls can't be made again on " + platform.machine())
    logs = t.directory("logs")
    process = t.spawn([t.build("tests/targets/interrupted"), logs])
    t.wait(lambda: "begin" in process.stdout_text(), "the first call", alive=process)
    signals = 0
    end = time.monotonic() + 100
    # All the time, at any moment of a call: what the program prints is compared, never how long it takes.
    while process.alive() and "done" not in process.stdout_text() and time.monotonic() < end:
        try:
            os.kill(process.pid, signal.SIGUSR2)
        except ProcessLookupError:
            break
        signals += 1
        time.sleep(0.03)
    t.wait(lambda: not process.alive(), "the end")
    lines = process.stdout_text().split("\n")
    begun = [line[6:] for line in lines if line.startswith("begin ")]
    fine = [line[5:] for line in lines if line.startswith("fine ")]
    check(signals > 100, "only", signals, "signals")
    check(fine == begun and "done" in lines, "interrupted:", [line for line in lines if line.startswith("EINTR")], process.stderr_text()[-500:])
    check(len(os.listdir(logs)) > 5, "hardly any report was made")


suite.main()
