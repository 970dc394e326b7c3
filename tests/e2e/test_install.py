#!/usr/bin/python3
"""`meson install` (what make install does) into a directory of its own: a program is compiled against what is there, by pkg-config, in C
and C++, shared and static, and reports itself; the installed command and its pages work from there."""
import os
import pathlib
import shutil
import signal
import subprocess

from common import BUILD, ROOT, TIMEOUT, Skip, check, suite
from puppet import END

PROGRAM = r"""
#include <gmr/gmr.h>
#include <gmr/green.h>
#include <stdio.h>
#include <unistd.h>

static int tea(struct gmr_writer *writer, void *userdata)
{
    (void)userdata;
    return gmr_put_string(writer, "tea", "green");
}

int main(void)
{
    static struct gmr_options options;
    options.size = sizeof(options);
    options.product = "installed";
    gmr_register_section("Tea", tea, NULL);
    if (gmr_setup_autorun(&options) != 0)
        fprintf(stderr, "%s\n", gmr_setup_message());
    printf("ready %s\n", gmr_version());
    fflush(stdout);
    for (;;)
        pause();
}
"""


def install(t):
    """The tree, once for all tests of a run."""
    root = t.tmp / "root"
    meson = shutil.which("meson")
    if not meson:
        raise Skip("meson is not on PATH")
    result = subprocess.run([meson, "install", "-C", BUILD, "--no-rebuild", "--destdir", root], capture_output=True, text=True,
                            check=False, timeout=TIMEOUT)
    check(result.returncode == 0, result.stdout[-2000:], result.stderr[-2000:])
    return root


def find(root, name):
    found = sorted(root.rglob(name))
    check(found, name, "was not installed")
    return found[0]


def flags(root, *options):
    """What pkg-config says, as if root were /."""
    env = {**os.environ, "PKG_CONFIG_PATH": str(find(root, "libgmr.pc").parent), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    result = subprocess.run(["pkg-config", *options, "libgmr"], env=env, capture_output=True, text=True, check=False)
    check(result.returncode == 0, result.stderr)
    return result.stdout.split()


def compile_program(t, compiler, suffix, arguments):
    source, program = t.tmp / f"program.{suffix}", t.tmp / "program"
    source.write_text(PROGRAM)
    result = subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", source, "-o", program, *arguments], capture_output=True,
                            text=True, check=False)
    check(result.returncode == 0, result.stderr)
    return program


def reports_itself(t, root, program, env):
    process = t.spawn([program], env=env)
    t.wait(lambda: "ready" in process.stdout_text(), "the program", alive=process)
    check(process.stderr_text() == "", process.stderr_text())
    os.kill(process.pid, signal.SIGUSR2)
    t.wait(lambda: END in process.stderr_text(), "its report", alive=process)
    text = process.stderr_text()
    for expected in ("product = installed", "tea = green", "in main+", "status = complete", "method = ptrace"):
        check(expected in text, expected, "is not in", text)


@suite.test
def programs_link_by_pkg_config(t):
    root = install(t)
    library_path = str(find(root, "libgmr.so.0").parent)
    shared = [*flags(root, "--cflags"), *flags(root, "--libs")]
    static = [*flags(root, "--cflags"), str(find(root, "libgmr.a")), "-pthread"]
    for compiler, suffix in (("gcc", "c"), ("g++", "cc"), ("clang", "c")):
        if not shutil.which(compiler):
            continue
        program = compile_program(t, compiler, suffix, shared)
        reports_itself(t, root, program, t.environment(LD_LIBRARY_PATH=library_path))
        program = compile_program(t, compiler, suffix, static)
        needed = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
        check("libgmr" not in needed, needed)
        # Linked statically it lies nowhere near the command: the installed path is compiled in, this tree's is told.
        reports_itself(t, root, program, t.environment(GMR_INSPECTOR=str(next(root.rglob("bin/gmr")))))


@suite.test
def libgmr_needs_the_c_library_alone(t):
    root = install(t)
    for name in ("libgmr.so.0", "libgmr-preload.so"):
        dynamic = subprocess.run(["readelf", "-d", find(root, name)], capture_output=True, text=True, check=True).stdout
        needed = {line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line}
        check(all(n.startswith(("libc.so", "ld-linux")) for n in needed), name, needed)
        symbols = subprocess.run(["nm", "-D", "--defined-only", find(root, name)], capture_output=True, text=True, check=True).stdout
        public = {line.split()[-1].split("@")[0] for line in symbols.splitlines()}
        strays = {s for s in public if not s.startswith("gmr_") and not s.startswith("GMR_")}
        check(not strays - INTERPOSED, name, "exports", strays)


# The preload library stands in front of these to see green threads and OS threads come and go. and to give threads a stack to crash on.
INTERPOSED = {"makecontext", "pthread_create", "thrd_create"}


@suite.test
def the_installed_command_works_from_there(t):
    root = install(t)
    gmr = next(root.rglob("bin/gmr"))
    check(subprocess.run([gmr, "--version"], capture_output=True, text=True, check=True).stdout.startswith("gmr "))
    process = t.spawn([gmr, "run", "--", "sleep", "1000"])
    t.wait(lambda: os.readlink(f"/proc/{process.pid}/exe").endswith("sleep"), "the exec", alive=process)
    t.wait(lambda: f"{process.pid} " in subprocess.run([gmr, "list"], capture_output=True, text=True, check=False).stdout, "it to answer")
    os.kill(process.pid, signal.SIGUSR2)
    t.wait(lambda: END in process.stderr_text(), "its report", alive=process)


@suite.test
def pages_completions_headers_and_schemas_are_installed(t):
    root = install(t)
    for name in ("gmr.1", "libgmr.3", "gmr-report.5", "_gmr", "gmr.fish", "gmr.h", "green.h", "gmr-report-1.schema.json",
                 "gmr-report-1.xsd", "libgmr.so", "libgmr.a", "libgmr.pc"):
        found = sorted(root.rglob(name + "*"))
        check(found, name, "is not installed")
    headers = {p.relative_to(ROOT / "include") for p in (ROOT / "include").rglob("*.h*")}
    for header in headers:
        check(list(root.rglob(f"include/{header}")), header, "is not installed")
    stray = [p for p in root.rglob("*") if p.is_file() and not str(p.relative_to(root)).startswith(("usr/", "opt/"))]
    check(not stray or "PREFIX" in os.environ, "outside the prefix:", stray)


@suite.test
def pages_and_completions_are_well_formed(t):
    pages = sorted(pathlib.Path(ROOT, "man").glob("*.[1-9]"))
    check(len(pages) >= 3)
    if shutil.which("mandoc"):
        for page in pages:
            lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False)
            check(lint.returncode == 0, lint.stdout)
    for name in ("report", "run", "list", "trigger", "core", "show", "symbolize", "scrub", "doctor"):
        for file in ("man/gmr.1", "completion/gmr.bash", "completion/_gmr", "completion/gmr.fish"):
            check(name in pathlib.Path(ROOT, file).read_text(), name, "is not in", file)
    script = f". {ROOT}/completion/gmr.bash; COMP_WORDS=(gmr re); COMP_CWORD=1; _gmr; echo \"${{COMPREPLY[@]}}\""
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    check(result.stdout.strip() == "report" and not result.stderr, result)
    # Every option that the help page names is completed and described.
    for command in ("report", "run"):
        options = {word.split("=")[0].split("[")[0].rstrip(",") for word in t.gmr(command, "--help").stdout.split() if word.startswith("--")}
        for option in options - {"--"}:
            for file in ("man/gmr.1", "completion/gmr.bash", "completion/_gmr", "completion/gmr.fish"):
                text = pathlib.Path(ROOT, file).read_text()
                spelled = option[2:] if file.endswith((".fish", ".1")) else option
                check(spelled in text, option, "of gmr", command, "is not in", file)


suite.main()
