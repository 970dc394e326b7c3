"""Namespaces, a read-only file system, a filter that denies the reading of memory: reports from within and from outside."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import NOBODY, Skip, check, functions, suite  # noqa: E402
from puppet import section  # noqa: E402
from sick import Sick as Puppet, status_of, valid  # noqa: E402


def written(t, puppet, name="report.json"):
    """The report that the puppet makes of itself."""
    path = t.tmp / name
    fd = puppet(f"open {path}")
    check(puppet(f"write {fd} 2") == 0, "no report:", puppet.stderr())
    puppet(f"close {fd}")
    return valid(t, path.read_text())


def idle_threads(document):
    return sum(any("pause" in name for name in functions(document, thread)) for thread in document["threads"])


def can(*command):
    if subprocess.run([*command, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip(" ".join(command) + " is not allowed here")


def child_of(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    check(len(out) == 1, "children of", pid, out)
    return int(out[0])


@suite.test
def reading_of_memory_alone_is_denied(t):
    puppet = Puppet(t, "threads 3", argv=[t.build("tests/targets/fence"), "1", "process_vm_readv", "--"]).setup()
    document = written(t, puppet)
    check(idle_threads(document) == 3, document["report"], document["stacks"])
    modules = {module["path"]: module for module in document["modules"]}
    check(any(path.endswith("/puppet") and "build_id" in module for path, module in modules.items()), "the file has it, too", modules)
    section(puppet.report(), "Threads")
    check(idle_threads(t.report(puppet.pid)) == 3, "from outside nothing is denied")


@suite.test
def a_pid_and_mount_namespace_of_its_own(t):
    fence = ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child"]
    can(*fence)
    puppet = Puppet(t, "threads 3", argv=fence)
    puppet.setup_quietly()
    document = written(t, puppet)
    check(document["report"]["pid"] == 1 and document["processes"][0]["pid"] == 1, document["report"])
    check(idle_threads(document) == 3 and status_of(document, "threads")["status"] == "ok", document["report"])
    check(document["processes"][0]["children"] == [], "the inspector is no child of the program", document["processes"])
    inner = child_of(puppet.pid)
    document = t.report(inner)
    check(document["processes"][0]["pid"] == inner and idle_threads(document) == 3, document["report"])
    check(document["package"].get("libgmr"), "its own half answers across the namespace", document["package"])


@suite.test
def a_user_namespace_without_rights(t):
    fence = ["unshare", "-U"]
    can(*fence)
    puppet = Puppet(t, "threads 3", argv=fence)
    puppet("setup")
    document = written(t, puppet, "within.json")
    check(idle_threads(document) == 3, document["report"])
    document = t.report(puppet.pid, codes=(0, 1))
    check(idle_threads(document) == 3, document["report"])
    for name in ("processes", "limits", "modules", "resources", "host"):
        check(status_of(document, name)["status"] == "ok", status_of(document, name))


@suite.test
def a_read_only_file_system(t):
    if os.geteuid() != 0:
        raise Skip("needs root")
    fence = ["unshare", "-m"]
    can(*fence)
    logs = t.directory("logs")
    script = f'mount --bind {logs} {logs} && mount -o remount,ro,bind {logs} && exec "$0" "$@"'
    can(*fence, "/bin/sh", "-c", script)
    puppet = Puppet(t, "threads 3", argv=[*fence, "/bin/sh", "-c", script])
    puppet.setup(log_dir=logs)
    report = puppet.report()
    check(not list(logs.iterdir()), "a file on a read-only file system")
    section(report, "Threads")
    check("EROFS" in puppet.stderr() or "ead-only file system" in puppet.stderr(), "why it is not in the log directory:", puppet.stderr()[-500:])


@suite.test
def another_user_s_process_is_reported_by_root_alone(t):
    if os.geteuid() != 0:
        raise Skip("needs root")
    puppet = Puppet(t, "threads 3", user=NOBODY).setup()
    check(idle_threads(t.report(puppet.pid)) == 3)
    result = t.gmr("report", puppet.pid, user=1)
    check(result.returncode == 4 and result.stdout == "", result)


THIRTY_TWO = """
static int sys(int n, int a, int b, int c)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}
void _start(void)
{
    sys(4, 1, (int)"ready", 5);
    for (;;)
        sys(29, 0, 0, 0);
}
"""


@suite.test
def a_32_bit_program(t):
    # Without any library, so that no 32-bit libc is needed.
    (t.tmp / "small.c").write_text(THIRTY_TWO)
    built = subprocess.run(["gcc", "-m32", "-ffreestanding", "-fno-pic", "-no-pie", "-nostdlib", "-static", "-o", t.tmp / "small", t.tmp / "small.c"],
                           capture_output=True, check=False)
    if built.returncode:
        raise Skip("no 32-bit program can be built here")
    try:
        process = t.spawn([t.tmp / "small"])
    except OSError as error:
        raise Skip("the kernel runs no 32-bit programs") from error
    t.wait(lambda: process.stdout_text() == "ready", "it to start")
    result = t.gmr("report", process.pid, "--format", "json")
    document = valid(t, result.stdout)
    check(result.returncode == 1, "a report without stacks is partial:", result.returncode)
    thread = document["threads"][0]
    check("32-bit" in thread["problem"] and "stack" not in thread and "syscall" not in thread, thread)
    check(document["limits"] and document["processes"][0]["command"] and document["modules"], document)
    check(process.alive())


@suite.test
def a_filter_that_kills(t):
    # It kills the capturing process, which has inherited it, and not the process, which goes on with what its threads tell.
    puppet = Puppet(t, "threads 3", "register Mine plain", argv=[t.build("tests/targets/fence"), "kill", "ptrace", "--"]).setup()
    check("answer = 42" in section(puppet.report(), "Mine") and puppet.process.alive())
    check(puppet.last["report"]["method"] == "signal" and status_of(puppet.last, "threads")["status"] == "partial", puppet.last["report"])


@suite.test
def what_doctor_says_is_what_happens(t):
    plain = Puppet(t, "threads 3").setup()
    fenced = Puppet(t, "threads 3", argv=[t.build("tests/targets/fence"), "1", "ptrace", "--"]).setup()
    for puppet in (plain, fenced):
        out = t.gmr("doctor", puppet.pid)
        check(out.returncode == 0 and "works: by ptrace" in out.stdout, out)
        check(("seccomp filter" in out.stdout) == (puppet is fenced), out.stdout)
        document = t.report(puppet.pid)
        check(document["report"]["method"] == "ptrace", document["report"])
    check(written(t, plain, "plain.json")["report"]["method"] == "ptrace")
    check(written(t, fenced, "fenced.json")["report"]["method"] == "signal")


suite.main()
