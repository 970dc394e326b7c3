#!/usr/bin/python3
"""Every option that --help names is in the manual and in the completions of each shell, and the other way round."""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import BUILD, ROOT, check, suite  # noqa: E402  pylint: disable=wrong-import-position

COMMANDS = ("report", "run", "list", "trigger", "core", "show", "symbolize", "scrub", "doctor")
GENERAL = {"--help", "--version"}


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))


def help_of(command):
    return subprocess.run([BUILD / "gmr", command, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout


def manual():
    """gmr(1) without its markup: `.It Fl -each-thread`, `Fl -debuginfod Ns Op ...`."""
    text = (ROOT / "man/gmr.1").read_text(encoding="utf-8")
    return options(re.sub(r"Fl (?:Fl |\\-)?-(?=[a-z])", "--", text)) | options(text.replace("\\-", "-"))


@suite.test
def the_manual_has_every_option(_t):
    known = manual()
    for command in COMMANDS:
        missing = options(help_of(command)) - known - GENERAL
        check(not missing, command, "has options that man/gmr.1 has not:", missing)


@suite.test
def the_manual_has_no_option_that_is_gone(_t):
    real = set().union(*(options(help_of(command)) for command in COMMANDS)) | GENERAL
    check(manual() <= real, "in man/gmr.1 only:", manual() - real)


@suite.test
def every_shell_completes_every_option(_t):
    wanted = set().union(*(options(help_of(command)) for command in COMMANDS))
    for name in ("gmr.bash", "_gmr", "gmr.fish"):
        text = (ROOT / "completion" / name).read_text(encoding="utf-8")
        known = {f"--{option}" for option in re.findall(r"^complete .*? -l ([a-z-]+)", text, re.M)} if name == "gmr.fish" else options(text)
        check(wanted <= known, name, "lacks", wanted - known)
        check(known <= wanted | GENERAL, name, "has", known - wanted, "which are no options")


if __name__ == "__main__":
    suite.main()
