#!/usr/bin/python3
"""gmr show and gmr scrub: a stored report looks as the live one did; files that are no report are told apart without harm."""
import json
import pathlib
import random
import re
import shutil
import signal

import validate
from common import check, suite

THREADS = """
import threading, time
def wait_here():
    threading.Event().wait()
for number in range(3):
    threading.Thread(target=wait_here, name=f"waiter-{number}", daemon=True).start()
print("ready", flush=True)
time.sleep(1000)
"""
# What changes from one report of a stopped process to the next; let go by the capture, it runs for a moment before it stands again.
VOLATILE = re.compile(
    r"^(  )?(id|time|wall_us|pause_max_us|pause_median_us|copied_bytes|uptime_seconds|minute_1|minutes_5|minutes_15|voluntary|involuntary|current|"
    r"available|free|system|oom_score|throttled|throttled_us|peak|minor|rss\w*|page_tables) = .*$|(?<=state: )(running|stopped)(?= \])", re.M)


def stopped(t):
    """A process of several threads that nothing moves."""
    process = t.spawn(["/usr/bin/python3", "-c", THREADS])
    t.wait(lambda: "ready" in process.stdout_text(), "the process to be ready", alive=process)
    t.freeze(process.pid)
    return process


def stored(t, text, name="report.json"):
    path = t.tmp / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def show(t, text, *options, code=0):
    result = t.gmr("show", *options, stored(t, text))
    check(result.returncode == code, "gmr show ended with", result.returncode, result.stderr, result.stdout[-500:])
    return result.stdout if code == 0 else result.stderr


def scrub(t, document, *options):
    result = t.gmr("scrub", *options, stored(t, json.dumps(document)))
    check(result.returncode == 0, result.stderr)
    return validate.validate_json(result.stdout)


def document(**members):
    return {"schema": "gmr-report/1", **members, "report": {"status": "complete", "sections": []}}


@suite.test
def a_stored_report_is_shown_as_the_live_one(t):
    process = stopped(t)
    live = {}
    for view in ("json", "text", "xml"):
        result = t.gmr("report", process.pid, "--format", view)
        check(result.returncode in (0, 1), result.stderr)
        live[view] = result.stdout
    validate.validate_json(live["json"])
    check(show(t, live["json"], "--format", "json") == live["json"], "JSON is not the same")
    text, want = (VOLATILE.sub("", part).split("\n") for part in (show(t, live["json"]), live["text"]))
    different = [pair for pair in zip(text, want) if pair[0] != pair[1]]
    # Of another moment, hence only what stands still.
    whole = [re.search(r"^====  +Threads.*?^====  +Processes", part, re.M | re.S)[0]
             for part in (show(t, live["json"], "--all-frames"), t.gmr("report", process.pid, "--all-frames").stdout)]
    check(whole[0] == whole[1], "with all frames it is not the same:", *whole)
    check(len(text) == len(want) and not different, "shown and live differ:", len(text), len(want), different[:5])
    check("more with the same stack" in live["text"], "the threads' common stack is not shown once")
    tags = [re.findall(r"<(/?[a-z_]+)", part) for part in (show(t, live["json"], "--format", "xml"), live["xml"])]
    check(tags[0] == tags[1], "XML is not the same")
    validate.validate_xml(show(t, live["json"], "--format", "xml"))


@suite.test
def green_threads_are_shown_as_the_live_ones(t):
    daemon = t.spawn([t.build("examples/exampled")], env=t.environment(GMR_CONTROL_SOCKET="off"))
    options = ("--sections", "threads,green_threads,stacks")
    t.wait(lambda: t.report(daemon.pid, *options, codes=(0, 1))["green_threads"], "its green threads", alive=daemon)
    t.freeze(daemon.pid)
    live = {view: t.gmr("report", daemon.pid, *options, "--format", view).stdout for view in ("json", "text")}
    check("Green Threads " in live["text"] or "Green Thread #" in live["text"], live["text"])
    text, want = (re.sub(r"( for |, )[0-9.]+ (ms|s|min|h)\b( at most| in the middle)?", "", VOLATILE.sub("", part)) for part in (show(t, live["json"]), live["text"]))
    different = [pair for pair in zip(text.split("\n"), want.split("\n")) if pair[0] != pair[1]]
    check(text == want, "shown and live differ:", different[:5])


@suite.test
def a_report_can_come_from_standard_input_and_go_to_a_file(t):
    path = stored(t, json.dumps(document(sections={"S": {"a": 1}})))
    with open(path, "rb") as source:
        result = t.gmr("show", "-", stdin=source)
    check(result.returncode == 0 and "\na = 1\n" in result.stdout, result.stdout, result.stderr)
    result = t.gmr("show", path, "-o", t.tmp / "out.txt")
    check(result.returncode == 0 and result.stdout == "", result.stderr)
    check("\na = 1\n" in (t.tmp / "out.txt").read_text(), "the file is not the report")


@suite.test
def own_sections_are_sorted_as_they_were(t):
    text = show(t, json.dumps(document(sections={"Sorted": {"a": [3, 1, {"x": None}], "b": True}, "Kept": {"b": 2, "a": [3, 1]}})))
    check("a = \n  1\n  3\n  [dict]\n    x = None\nb = True\n" in text, text)
    check("b = 2\na = \n  3\n  1\n" in text, text)


@suite.test
def configuration_stands_in_groups(t):
    text = show(t, json.dumps(document(configuration={"default": {"debug": False}, "database": {"url": "mysql://***@host/db"}})))
    check("\n\ndefault: \n  debug = False\n\ndatabase: \n  url = mysql://***@host/db\n" in text, text)


@suite.test
def numbers_of_any_size_come_through(t):
    numbers = [0, -1, 2**63 - 1, -2**63, 2**63, 2**64 - 1, 0.1, 1e300, -0.0, 9223372036854775807]
    body = json.dumps({"n": numbers, "text 18446744073709551615": "18446744073709551615 \\\" 18446744073709551615"})
    source = json.dumps(document()).replace('"report":', f'"sections": {{"S": {body}}}, "report":')
    shown = json.loads(show(t, source, "--format", "json"))["sections"]["S"]
    check(shown == json.loads(body), shown)


@suite.test
def a_section_that_was_cut_short_still_says_so(t):
    source = document(limits={})
    source["report"]["sections"] = [{"name": "limits", "status": "failed", "reason": "permission denied", "next_step": "be root"}]
    text = show(t, json.dumps(source))
    check("[failed: permission denied; be root]" in text and "limits = failed: permission denied; be root" in text, text)


@suite.test
def what_is_no_report_is_refused_with_a_reason(t):
    whole = json.dumps(document(sections={"S": {"a": "b"}}))
    cases = {
        "": "it is empty",
        "garbage": "line 1",
        "\0" * 100: "line 1",
        "{}": "it is JSON, but no report",
        "[]": "it is JSON, but no report",
        "null": "line 1, column",
        '{"schema": 1}': "it is JSON, but no report",
        '{"schema": "gmr-report/99"}': 'its schema is "gmr-report/99"',
        whole[:-5]: "it is cut short",
        "[" * 100000: "it is nested too deeply",
        '{"a":' * 100000: "it is nested too deeply",
        whole.replace('"a"', '"\\ud800"'): "line 1",
        '{"schema": "gmr-report/1", "schema": "gmr-report/1"}': "it has a member twice",
        '{"n": 1e999}': "line 1",
        '{"n": ' + "9" * 100000 + "}": "line 1",
    }
    for text, reason in cases.items():
        message = show(t, text, code=5)
        if text == "null":
            check("no report" in message or reason in message, message)
        else:
            check(reason in message, repr(text[:50]), "is told as", message)
    message = show(t, b"\xff\xfe{}", code=5)
    check("line 1" in message, message)


@suite.test
def what_cannot_be_read_has_an_exit_code(t):
    check(t.gmr("show", "/nonexistent/report.json").returncode == 3, "a missing file")
    check(t.gmr("show", t.tmp).returncode == 3, "a directory")
    check(t.gmr("show").returncode == 2 and t.gmr("show", "a", "b").returncode == 2, "usage")
    check(t.gmr("show", "--format", "pdf", "x").returncode == 2, "an unknown format")
    path = stored(t, json.dumps(document()))
    check(t.gmr("show", path, "-o", "/dev/full").returncode == 6, "a full disk")
    check(t.gmr("show", path, "-o", "/nonexistent/out").returncode == 6, "a directory that is not there")


@suite.test
def members_of_the_wrong_type_do_no_harm(t):
    """Each member of a real report in turn is replaced by something else; every view of it comes out, and parses."""
    process = stopped(t)
    source = t.report(process.pid, codes=(0, 1))
    del source["stacks"][3:]
    places = []

    def walk(node, path):
        places.append(path)
        for key in node if isinstance(node, dict) else range(min(len(node), 2)) if isinstance(node, list) else ():
            walk(node[key], path + [key])

    walk(source, [])
    chosen = random.Random(1)
    for path in chosen.sample(places[1:], min(60, len(places) - 1)):
        if path == ["schema"]:
            continue
        changed = json.loads(json.dumps(source))
        parent = changed
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = chosen.choice([None, True, -1, 2**64 - 1, "", "\x1b[31m", [], {}, [[]], {"a": {"b": []}}, [None, {}], 1.5])
        for view in ("text", "json", "xml"):
            output = show(t, json.dumps(changed), "--format", view)
            if view == "json":
                validate.parse_json(output)
            elif view == "xml":
                validate.etree.fromstring(output.encode())
            else:
                check("End of Guru Meditation" in output and "\x1b" not in output, path)


def poisoned(value, poison):
    """Every string in it, and every name of the program's own, with what a terminal would obey."""
    if isinstance(value, dict):
        return {key: poisoned(inner, poison) for key, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner, poison) for inner in value]
    return value + poison if isinstance(value, str) else value


@suite.test
def no_string_of_a_report_controls_the_terminal(t):
    source = document(
        threads=[{"id": 1, "name": "a", "state": "sleeping", "syscall": "ppoll", "wait_channel": "w", "stack": 0}, {"id": 2, "name": "b", "problem": "p"}],
        green_threads=[{"id": 1, "kind": "k", "name": "n", "state": "waiting", "wait_reason": "x", "stack": 0, "problem": "p",
                        "entry": {"function": "f"}, "created_by": [{"function": "c"}]}],
        stacks=[{"frames": [{"pc": "0x1", "function": "f", "module": "/m", "file": "a.c", "line": 1, "source": "x", "language": "l"}], "end": "e"}],
        processes=[{"pid": 1, "parent_pid": 0, "uids": {"real": "r", "effective": "e", "saved": 0}, "username": "u", "command": ["a", "b"], "state": "s",
                    "start_time": "2026", "threads": "t", "memory": {"rss": "x", "virtual": "y"}}],
        limits={"files": {"soft": "s", "hard": "h", "unit": "u"}},
        open_files={"count": "c", "descriptors": [{"fd": 1, "target": "t"}, {"fd": 2, "socket": {"type": "t", "local": "l", "remote": "r", "state": "s", "path": "p"}}]},
        modules=[{"path": "/m", "start": "0x1", "end": "0x2", "build_id": "ab", "deleted": True}],
        resources={"memory": {"rss": "x"}}, configuration={"default": {"a": "b"}}, sections={"S": {"a": ["b"]}}, other={"k": "v"})
    source["report"].update({"host": "h", "sections": [{"name": "modules", "status": "failed", "reason": "r", "next_step": "n"}]})
    for poison in ("\x1b[31m", "\x07\r\b\x7f", "\x9b31m\x85"):
        changed = poisoned(source, poison) | {"schema": "gmr-report/1"}
        changed["sections"]["T" + poison] = {"k" + poison: {"l" + poison: 1}}
        text = show(t, json.dumps(changed))
        found = re.findall(r".*[^\n\t -~].*", text)
        check(not found, repr(poison), [repr(line) for line in found])
        for word in ("2026", "ab", "/m"):
            check(word + "\\x%02x" % ord(poison[0]) in text, word, text)
    shown = show(t, json.dumps(poisoned(source, "\n\n==== Forged") | {"schema": "gmr-report/1"}))
    tables = [line for line in shown.split("\n") if "0x1" in line or "2026" in line]
    check(tables and all("\\x0a" in line for line in tables), tables)


@suite.test
def no_name_of_a_process_controls_the_terminal(t):
    program = t.tmp / "\x1b[31m\x9b\x07\n"
    shutil.copy("/usr/bin/sleep", program)
    process = t.spawn([str(program), "1000"])
    t.wait(lambda: "nanosleep" in pathlib.Path(f"/proc/{process.pid}/wchan").read_text() or b"1000" in pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes(),
           "the program to run", alive=process)
    result = t.gmr("report", process.pid)
    found = re.findall(r".*[^\n\t -~].*", result.stdout)
    check(result.returncode in (0, 1) and not found, result.stderr, [repr(line) for line in found])
    for command in ("list", "doctor"):
        other = t.gmr(command, *([process.pid] if command == "doctor" else []))
        check(not re.search(r"[^\n\t -~]", other.stdout + other.stderr), command, repr(other.stdout), repr(other.stderr))
    check(result.stdout.count("\\x1b[31m\\x") >= 3, "it is not named in threads, processes and modules:", result.stdout)


@suite.test
def secrets_are_scrubbed_wherever_they_stand(t):
    source = document(
        processes=[{"pid": 1, "parent_pid": 0, "state": "running", "children": [],
                    "command": ["app", "--password", "hunter2", "--token=hunter2", "mysql://root:hunter2@db/x", "plain"]}],
        configuration={"database": {"connection": "mysql://user:hunter2@host/db", "password": "hunter2", "debug": True},
                       "default": {"api_key": 12345, "secrets": ["hunter2", {"x": "hunter2"}]}},
        sections={"Own": {"auth": {"db_password": "hunter2"}, "list": ["Authorization: Bearer hunter2hunter2hunter2"], "fine": "value"}})
    clean = scrub(t, source)
    text = json.dumps(clean)
    check("hunter2" not in text and "12345" not in text, text)
    check(clean["configuration"]["database"]["debug"] is True and clean["sections"]["Own"]["fine"] == "value", text)
    check(clean["processes"][0]["command"][0] == "app" and clean["processes"][0]["command"][-1] == "plain", text)
    check(len(clean["processes"][0]["command"]) == 6, text)


@suite.test
def addresses_and_hosts_go_when_asked(t):
    source = document(
        stacks=[{"frames": [{"pc": "0x7f0000001234", "module": "/lib/x.so", "module_offset": "0x1234"}, {"pc": "0x400000", "function": "std::f"}]}],
        modules=[{"path": "/lib/x.so", "start": "0x7f0000000000", "end": "0x7f0000100000"}],
        open_files={"descriptors": [{"fd": 3, "kind": "socket", "target": "socket:[1]",
                                     "socket": {"type": "tcp", "local": "10.1.2.3:80", "remote": "[fe80::1]:443"}}]},
        host={"name": "web7.example.org", "boot_id": "23cc94d6-12c0-4ad9-b18c-c1bdb7447f3b"},
        sections={"S": {"peer": "https://db.example.net:5432/x", "at": "queue at 0x7ffd12345678", "me": "I am web7, or WEB7.example.org.",
                        "mac": "00:16:3e:aa:bb:cc", "time": "12:34:56", "version": "1.2.3", "ip": "::1 192.168.0.1, 300.1.1.1"}})
    source["report"]["host"] = "web7.example.org"
    plain = scrub(t, source)
    plain["report"]["sections"] = []
    check(plain == source, "something was taken out that nobody asked for", plain)
    clean = scrub(t, source, "--addresses")
    text = json.dumps(clean)
    for gone in ("7f0000", "400000", "10.1.2.3", "fe80", "7ffd12345678", "00:16:3e", "192.168"):
        check(gone not in text, gone, text)
    check(clean["stacks"][0]["frames"][0]["module_offset"] == "0x1234", "what names the frame later is gone")
    check(clean["sections"]["S"]["time"] == "12:34:56" and clean["sections"]["S"]["version"] == "1.2.3" and "300.1.1.1" in text, text)
    check("web7" in text and "db.example.net" in text, text)
    clean = scrub(t, source, "--hosts")
    text = json.dumps(clean)
    for gone in ("web7", "WEB7", "example.org", "db.example.net", "10.1.2.3", "23cc94d6"):
        check(gone not in text, gone, text)
    check("0x7f0000001234" in text, text)


if __name__ == "__main__":
    suite.main()
