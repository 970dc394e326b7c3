#!/usr/bin/python3
"""Green threads that programs tell of: each target is a real program on a real library, its frames are checked one by one."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from common import BUILD, Skip, check, functions, suite  # noqa: E402

TARGETS = pathlib.Path(os.environ.get("GREEN_TARGETS", BUILD / "tests" / "green"))


def start(t, target, *arguments):
    """A target, ready, and what a report says of it."""
    path = TARGETS / target
    if not path.exists():
        raise Skip(f"{target} was not built: its library is not installed")
    process = t.spawn([path, *arguments])
    t.wait(lambda: "ready" in process.stdout_text(), "the target to be ready", alive=process)
    return process


def green_threads(t, process, *options, tries=20):
    """On a machine that is overloaded a thread may get no processor in the time that a report gives it to stop: asked again."""
    document = t.report(process.pid, "--sections", "green_threads,threads", *options, codes=(0, 1) if tries else (0,))
    if document["report"]["status"] != "complete" and tries:
        return green_threads(t, process, *options, tries=tries - 1)
    return document, [thread for thread in document["green_threads"] if not thread.get("discovered")]


def calls(document, thread, stop=None):
    """Its functions, innermost first, up to and including `stop`."""
    names = functions(document, thread)
    return names[:names.index(stop) + 1] if stop in names else names


def language_calls(document, thread):
    frames = document["stacks"][thread["stack"]]["frames"]
    return [(f.get("function"), os.path.basename(f.get("file", "")), f.get("line")) for f in frames if "language" in f]


def by_name(threads):
    return {thread.get("name"): thread for thread in threads}


@suite.test
def makecontext_example(t):
    document, threads = green_threads(t, start(t, "green-ucontext", "--wait"))
    named = by_name(threads)
    check(set(named) == {"reader", "parser", "writer"}, named)
    check(calls(document, named["reader"], "work") == ["yield", "descend", "descend", "work"], calls(document, named["reader"]))
    check(calls(document, named["parser"], "work") == ["yield", "descend", "descend", "descend", "work"], calls(document, named["parser"]))
    check(calls(document, named["writer"], "work") == ["work"], calls(document, named["writer"]))
    check([named[n]["state"] for n in ("reader", "parser", "writer")] == ["waiting", "waiting", "new"], threads)
    check(named["reader"]["wait_reason"] == "its next turn")
    for thread in threads:
        check(thread["entry"]["function"] == "work" and thread["stack_bytes"] == 65536 and thread["kind"] == "ucontext", thread)
        stack = document["stacks"][thread["stack"]]
        check("end" not in stack and len(stack["frames"]) <= len(calls(document, thread, "work")) + 1, stack)


@suite.test
def makecontext_example_as_text(t):
    process = start(t, "green-ucontext", "--wait")
    text = t.gmr("report", process.pid, "--sections", "green_threads").stdout
    check("------                   Green Thread #1 reader                   ------" in text, text)
    check("3 green threads: 1 new, 2 waiting" in text, text)
    only = t.gmr("report", process.pid, "--sections", "green_threads", "--green", "name=p*,state=waiting").stdout
    check("parser" in only and "reader" not in only and "2 more do not match" in only, only)
    only = t.gmr("report", process.pid, "--sections", "green_threads", "--green", "function=descend").stdout
    check("parser" in only and "reader" in only and "writer" not in only, only)
    only = t.gmr("report", process.pid, "--sections", "green_threads", "--green", "id=2-3").stdout
    check("parser" in only and "reader" not in only and "writer" in only, only)
    wrong = t.gmr("report", process.pid, "--green", "state=sleepy")
    check(wrong.returncode == 2 and "sleepy" in wrong.stderr, wrong.returncode, wrong.stderr)
    xml = t.gmr("report", process.pid, "--format", "xml")
    check(xml.returncode == 0, xml.stderr)
    t.valid_xml(xml.stdout)


@suite.test
def pth(t):
    document, threads = green_threads(t, start(t, "target_pth"))
    named = by_name(thread for thread in threads if thread["kind"] == "pth")
    check(set(named) >= {"shallow", "deep", "locker", "main"}, named)
    check(calls(document, named["shallow"], "pth_sleeper")[-5:] == ["pth_wait", "pth_sleep", "pth_deep", "pth_deep", "pth_sleeper"],
          calls(document, named["shallow"]))
    check(calls(document, named["deep"], "pth_sleeper")[-7:] == ["pth_wait", "pth_sleep"] + 4 * ["pth_deep"] + ["pth_sleeper"],
          calls(document, named["deep"]))
    check(calls(document, named["locker"], "pth_locker")[-2:] == ["pth_mutex_acquire", "pth_locker"], calls(document, named["locker"]))
    check("main" in functions(document, named["main"]), functions(document, named["main"]))
    check(named["deep"]["state"] == "waiting" and named["deep"]["entry"]["function"] == "pth_sleeper", named["deep"])


@suite.test
def state_threads(t):
    document, threads = green_threads(t, start(t, "target_st"))
    threads = [thread for thread in threads if thread["kind"] == "state-threads"]
    check(len(threads) == 3, threads)  # main, the sleeper, the waiter; the short one has ended
    stacks = [functions(document, thread) for thread in threads]
    check(any("main" in stack for stack in stacks), stacks)
    sleeper = next(thread for thread in threads if "st_sleeper" in functions(document, thread))
    check(calls(document, sleeper, "gmr_st_run")[-5:] == ["st_deep", "st_deep", "st_deep", "st_sleeper", "gmr_st_run"], stacks)
    waiter = next(thread for thread in threads if "st_waiter" in functions(document, thread))
    check((sleeper["wait_reason"], waiter["wait_reason"]) == ("sleep", "a condition"), threads)
    check((sleeper["entry"]["function"], waiter["entry"]["function"]) == ("st_sleeper", "st_waiter"), threads)


@suite.test
def pcl(t):
    document, threads = green_threads(t, start(t, "target_pcl"))
    check(len(threads) == 2 and all(thread["kind"] == "pcl" for thread in threads), threads)  # the third has ended
    stacks = [calls(document, thread, "pcl_worker") for thread in threads]
    check(stacks[0][-2:] == ["pcl_deep", "pcl_worker"] and stacks[1][-4:] == 3 * ["pcl_deep"] + ["pcl_worker"], stacks)


@suite.test
def libcoro(t):
    """The one in Debian's module of Perl, which exports it."""
    found = [sorted(pathlib.Path("/usr/lib").glob(pattern)) for pattern in ("*/libperl.so.5*", "*/perl5/*/auto/Coro/State/State.so")]
    if not all(found):
        raise Skip("there is no Coro (libcoro-perl)")
    document, threads = green_threads(t, start(t, "target_libcoro", *(paths[0] for paths in found)))
    stacks = {thread["name"]: calls(document, thread, "libcoro_worker") for thread in threads}
    check(stacks == {"first": ["libcoro_deep", "libcoro_worker"], "second": 2 * ["libcoro_deep"] + ["libcoro_worker"]}, stacks)
    for thread in threads:
        check((thread["kind"], thread["state"], thread["entry"]["function"]) == ("libcoro", "suspended", "libcoro_worker"), thread)


@suite.test
def libco(t):
    """Built by tools/check-vendored."""
    document, threads = green_threads(t, start(t, "target_libco"))
    named = by_name(threads)
    check({name: thread["state"] for name, thread in named.items()} == {"first": "suspended", "second": "suspended", "fresh": "new"}, threads)
    stacks = [calls(document, named[name], "libco_worker") for name in ("first", "second", "fresh")]
    stacks = [[function for function in stack if function != "co_swap"] for stack in stacks]
    check(stacks[0][-2:] == ["libco_deep", "libco_worker"] and stacks[1][-3:] == 2 * ["libco_deep"] + ["libco_worker"] and
          stacks[2] == ["libco_worker"], stacks)


@suite.test
def folly(t):
    document, threads = green_threads(t, start(t, "target_folly"))
    named = by_name(threads)
    check(set(named) == {"first", "second", "fresh"} and len(threads) == 3, threads)
    for name, deep in (("first", 1), ("second", 2)):
        names = calls(document, named[name], "folly_worker")
        check(named[name]["state"] == "suspended" and names[-1 - deep:] == deep * ["folly_deep"] + ["folly_worker"], names)
    check(named["fresh"]["state"] == "new", named["fresh"])


@suite.test
def lua(t):
    document, threads = green_threads(t, start(t, "target_lua"))
    check(all(thread["kind"] == "lua" for thread in threads), threads)
    states = sorted(thread["state"] for thread in threads)
    check(states == ["done", "new", "running", "suspended", "suspended"], states)
    for thread in threads:
        if thread["state"] == "suspended":
            frames = language_calls(document, thread)
            check(frames[1:] == [("inner", "script.lua", 2), ("function <script.lua:5>", "script.lua", 6)], frames)
        if thread.get("name") == "main":
            frames = language_calls(document, thread)
            check(frames[0][0] == "wait_for_ever" and frames[1] == ("main chunk", "script.lua", 17), frames)
        if thread["state"] == "new":
            check(language_calls(document, thread) == [("function <script.lua:5>", "script.lua", 5)], language_calls(document, thread))


@suite.test
def libraries_that_are_vendored(t):
    document, threads = green_threads(t, start(t, "target_layouts"))
    named = by_name(threads)
    libraries = ("minicoro", "libco", "tencent", "libmill", "libdill", "libcoro", "bthread", "photon")
    check(len(threads) == 26 and set(named) == {f"{library}-{i}" for library in libraries for i in range(3)} | {"libaco-0", "libaco-1"},
          sorted(named))
    for name, thread in named.items():
        library, number = name.rsplit("-", 1)
        expected = ["body"] if number == "2" else ["leave"] + (int(number) + 2) * ["go_deep"] + ["body"]
        check(functions(document, thread) == expected, name, functions(document, thread))
        check(thread["state"] == ("new" if number == "2" else "suspended") and "problem" not in thread, thread)
        check(("thread" in thread) == (library not in ("bthread", "photon")), thread)


@suite.test
def boost(t):
    document, threads = green_threads(t, start(t, "target_boost"))
    check(len(threads) == 5 and all(thread["kind"] == "fcontext" for thread in threads), threads)
    stacks = [functions(document, thread) for thread in threads]
    deep = [[name for name in stack if name.endswith("_deep")] for stack in stacks]
    check(sorted(deep) == sorted([2 * ["context_deep"], 3 * ["context_deep"], 3 * ["coroutine_deep"], 2 * ["fiber_deep"], 3 * ["fiber_deep"]]), deep)
    for thread, stack in zip(threads, stacks):
        check(stack[0] in ("boost::context::fiber::resume", "boost::fibers::context::resume", "jump_fcontext"), stack)
        check(any("fiber_entry" in name for name in stack), stack)
        check(thread["entry"] == {"function": "main::{lambda}::operator()"}, thread)
        check("end" not in document["stacks"][thread["stack"]], document["stacks"][thread["stack"]].get("end"))
    check({thread.get("name") for thread in threads} == {None, "first", "second"}, threads)


@suite.test
def coroutines_of_cpp20(t):
    document, threads = green_threads(t, start(t, "target_coroutine"))
    named = by_name(threads)
    check(set(named) == {"first", "second"}, named)
    lines = (pathlib.Path(__file__).parent / "target_coroutine.cpp").read_text().splitlines()
    where = [next(i for i, line in enumerate(lines, 1) if mark in line)
             for mark in ("read_some waits", "read_message waits", "session waits", "or here")]
    for name, outermost in (("first", where[2]), ("second", where[3])):
        frames = language_calls(document, named[name])
        check([frame[0] for frame in frames] == ["read_some", "read_message", "session"], frames)
        check([frame[2] for frame in frames] == [where[0], where[1], outermost], frames, where)
        check(named[name]["wait_reason"] == "data" and named[name]["state"] == "waiting", named[name])


def many(t, *arguments):
    count = t.tmp / "count"
    path = BUILD / "tests" / "green" / "target_many"
    process = t.spawn([path, *map(str, arguments)], env=t.environment(GREEN_COUNT=str(count)))
    t.wait(lambda: "ready" in process.stdout_text(), "the target to be ready", alive=process)
    return process, count


def check_not_torn(document, thread):
    """step, then 1 to 13 times down, then body: no other list of frames can be. Who runs may be anywhere in between."""
    names = functions(document, thread)
    text = " ".join(names)
    check(re.fullmatch(r"(test_switch )?(step )?(down ){1,13}body" if thread["state"] != "running" else
                       r"(test_switch )?(step )?(down ){0,13}body", text), thread, text)


@suite.test
def thirty_thousand(t):
    process, _ = many(t, 30000, 11, 10, "spin", "counted")
    text = t.gmr("report", process.pid, "--sections", "green_threads").stdout
    check("30000 green threads" in text and "Green Threads  " in text and "step" in text, text[:3000])
    check(text.count("------  ") < 40, "identical stacks are printed once", text[:3000])
    document, threads = green_threads(t, process)
    check(len(threads) == 30000 and len({thread["id"] for thread in threads}) == 30000, len(threads))
    check(len(document["stacks"]) < 40, len(document["stacks"]))
    for thread in threads[::997]:
        if "approximate" in thread:
            continue
        check_not_torn(document, thread)


@suite.test
def ages_waits_ranges_spares_and_stacks_that_are_nearly_full(t):
    process = start(t, "target_filters")
    document, threads = green_threads(t, process)
    named = by_name(threads)
    check(len(threads) == 8 and sum(thread.get("idle", False) for thread in threads) == 3, threads)
    half = time.monotonic() / 2
    check(abs(named["patient"]["age_seconds"] - half) < half / 10 and named["hasty"]["age_seconds"] < half / 2, named, half)
    check(named["patient"]["wait_reason"] == "data" and "age_seconds" not in named["other"], named)
    check([name for name, thread in named.items() if thread.get("stack_nearly_full")] == ["full"], named)
    check(named["full"]["stack_bytes"] - named["full"]["stack_used_bytes"] < 1024, named["full"])

    def shown(filter_text):
        text = t.gmr("report", process.pid, "--sections", "green_threads", "--green", filter_text).stdout
        return {name for name in ("patient", "hasty", "full", "other") if re.search(rf"\b{name}\b", text)}, text
    for filter_text, expected in ((f"age={int(half / 2 * 1000)}ms", {"patient"}), ("wait=da*", {"patient", "hasty"}), ("wait=lock", {"other"}),
                                  ("id=11-12", {"patient", "hasty"}), ("id=13-", {"full", "other"}), ("kind=nothing", set()),
                                  ("wait=data,id=12-14", {"hasty"})):
        check(shown(filter_text)[0] == expected, filter_text, shown(filter_text))
    text = shown("top=9")[1]
    check("!! the stack of #13 is close to its end" in text, text)
    whole = t.gmr("report", process.pid).stdout
    finding = "1 green thread is close to the end of its stack: #13 has "
    check(finding in whole and whole.index(finding) < whole.index(" Threads "), whole[:2000])
    check("3 idle ones (spares of a pool) are not shown" in text and "spare-" not in text and "spare-0" in shown("idle")[1], text)


@suite.test
def the_same_from_a_core_file(t):
    """The registry's records, a Lua state's coroutines: nothing of the process is left but its core."""
    if not shutil.which("gdb"):
        raise Skip("gdb makes the core file")
    for target in ("target_filters", "target_lua"):
        process = start(t, target)
        live = green_threads(t, process)
        result = t.gmr("core", t.core_of(process), "--format", "json")
        check(result.stdout, result.returncode, result.stderr)
        document = t.valid_json(result.stdout)
        threads = [thread for thread in document["green_threads"] if not thread.get("discovered")]

        def told(document, threads):
            return sorted((thread["kind"], thread.get("name", ""), thread["state"], functions(document, thread)) for thread in threads)
        check(told(document, threads) == told(*live), told(document, threads), told(*live))


def how_stopped(t, target, *arguments):
    process = start(t, target, *arguments)
    out = subprocess.run([BUILD / "tests/green/green_dump", str(process.pid), "1", "--quiet"], capture_output=True, text=True, check=True).stdout
    return re.search(r"stop=(\w+)", out)[1]


@suite.test
def who_is_stopped_together(t):
    """1:N schedulers that say so: one OS thread at a time. A single green thread that may go elsewhere: all."""
    check(how_stopped(t, "target_many", "10", "5", "0", "bound", "two") == "each")
    check(how_stopped(t, "target_many", "10", "5", "0", "two") == "together")
    check(how_stopped(t, "green-ucontext", "--wait") == "together")


suite.main()
