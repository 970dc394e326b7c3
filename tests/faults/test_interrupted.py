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
    signals, call, in_call = 0, 0, 0
    # At any moment of a call; what the program prints is compared, never how long it takes. Not for ever: a timeout that is an option of a
    # socket (SO_RCVTIMEO) does start again in full.
    while process.alive() and "done" not in process.stdout_text():
        begun = process.stdout_text().count("begin")
        in_call = in_call + 1 if begun == call else 0
        call = begun
        if in_call < 20:
            os.kill(process.pid, signal.SIGUSR2)
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
