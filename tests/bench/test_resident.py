"""An idle libgmr stays small and asleep."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import check, suite  # noqa: E402
import resident  # noqa: E402


@suite.test
def it_takes_little_memory_and_never_wakes(_t):
    figures = resident.measure(1, 1)
    check(figures["anonymous"] + figures["file"] < 300, "KiB resident:", figures)
    check(figures["anonymous"] < 128, "KiB private:", figures)
    check(figures["virtual"] < 20 << 10, "KiB of address space:", figures)  # malloc's arenas are of 64 MiB
    check(figures["wakeups"] == 0 and figures["cpu_ns"] == 0, figures)


suite.main()
