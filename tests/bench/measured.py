"""One run of a tool, measured from outside: see usage.c."""
import os
import pathlib
import subprocess
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ.get("GMR_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build")).resolve()


def measured(argv, limit, env=None):
    """(its output, {wall, cpu: seconds; memory: MiB; status}), or None if it did not end within so many seconds."""
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as output, os.fdopen(reader) as told:
        began = time.monotonic()
        child = subprocess.Popen([str(BUILD / "tests/bench/usage"), str(writer), *argv], stdin=subprocess.DEVNULL, stdout=output,
                                 stderr=subprocess.DEVNULL, env=env, pass_fds=[writer])
        os.close(writer)
        timer = threading.Timer(limit, child.kill)
        timer.start()
        status = child.wait()
        wall = time.monotonic() - began
        in_time = timer.is_alive()
        timer.cancel()
        figures = told.read().split() if in_time else None
        if not figures:
            return None
        output.seek(0)
        return output.read(), {"wall": wall, "cpu": int(figures[1]) / 1e6, "memory": int(figures[0]) / 1024, "status": status}
