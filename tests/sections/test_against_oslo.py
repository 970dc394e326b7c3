#!/usr/bin/python3
"""Processes and Configuration beside oslo.reports' ProcessModel and ConfigModel on the same data: the text, byte for byte, and the values."""
import datetime
import json
import os
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import psutil  # noqa: E402  pylint: disable=wrong-import-position
import validate  # noqa: E402  pylint: disable=wrong-import-position
from common import BUILD, check, suite  # noqa: E402  pylint: disable=wrong-import-position
from oslo_reports.models import conf, process  # noqa: E402  pylint: disable=wrong-import-position

# The kernel lists /proc by number; the file system of a recorded tree has an order of its own.
unsorted_ppid_map = psutil._ppid_map  # pylint: disable=protected-access
psutil._ppid_map = lambda: dict(sorted(unsorted_ppid_map().items()))  # pylint: disable=protected-access

BANNER = "=" * 72 + "\n===={:^64}====\n" + "=" * 72 + "\n"


def dump(section, pid, view, proc="/proc"):
    result = subprocess.run([BUILD / "tests/sections/section_dump", section, str(pid), view, str(proc)], stdout=subprocess.PIPE, check=True)
    return result.stdout.decode()


def body(text, title):
    """What stands between a section's banner and the next."""
    return text.split(BANNER.format(f"{title:^64}"))[1].split("\n" + "=" * 72)[0].split("\n" + "|" * 72)[0]


def model_of(pid):
    model = process.ProcessModel(psutil.Process(pid))
    model.set_current_view_type("text")
    return model


def as_data(model):
    return {key: [as_data(child) for child in model[key]] if key == "children" else model[key]
            for key in ("pid", "parent_pid", "uids", "gids", "username", "command", "state", "children")}


def ours(document):
    return {**{key: document[key] for key in ("pid", "parent_pid", "uids", "gids", "username", "command", "state")},
            "children": [ours(child) for child in document["children"]]}


def compare(pid, proc="/proc"):
    psutil.PROCFS_PATH = str(proc)
    try:
        model = model_of(pid)
        expected = str(model).rstrip("\n")
        data = as_data(model)
    finally:
        psutil.PROCFS_PATH = "/proc"
    text = body(dump("processes", pid, "text", proc), "Processes")
    lines = text.split("\n\n")[0]
    check(lines == expected, f"\n{lines}\n-- is not --\n{expected}")
    document = validate.validate_json(dump("processes", pid, "json", proc))
    mine = ours(document["processes"][0])
    check(mine == data, f"\n{mine}\n-- is not --\n{data}")
    validate.validate_xml(dump("processes", pid, "xml", proc))


def put_process(root, pid, ppid, name="x", state="S", uid=0, command=("x",), start=1000):
    where = root / str(pid)
    where.mkdir()
    (where / "stat").write_text(f"{pid} ({name}) {state} {ppid} {pid} {pid} 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 {start} 4096 10 "
                                f"18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n")
    (where / "status").write_text(f"Name:\t{name}\nState:\t{state} (x)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{ppid}\nTracerPid:\t0\n"
                                  f"Uid:\t{uid}\t{uid + 1}\t{uid + 2}\t{uid}\nGid:\t{uid}\t{uid + 1}\t{uid + 2}\t{uid}\nVmSize:\t   4 kB\n"
                                  f"VmRSS:\t  40 kB\nThreads:\t3\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t8\n")
    (where / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in command))


@suite.test
def a_live_tree_prints_as_oslo_reports_prints_it(t):
    script = "sleep 1000 & sh -c 'sleep 1000 & sleep 1000; true' & echo ready; wait"
    top = t.spawn(["/bin/sh", "-c", script])
    t.wait(lambda: len(psutil.Process(top.pid).children(recursive=True)) == 4, "four descendants")
    children = psutil.Process(top.pid).children(recursive=True)
    try:
        compare(top.pid)
        start = validate.validate_json(dump("processes", top.pid, "json"))["processes"][0]
        created = psutil.Process(top.pid).create_time()
        shown = datetime.datetime.fromisoformat(start["start_time"].replace("Z", "+00:00")).timestamp()
        check(abs(shown - created) <= 1.01, start["start_time"], created)
        check(start["threads"] == 1, start)
    finally:
        for child in children:
            child.kill()


@suite.test
def recorded_trees_print_as_oslo_reports_prints_them(t):
    chance = random.Random(7)
    for number in range(25):
        root = t.tmp / str(number)
        root.mkdir()
        (root / "stat").write_text("cpu  1 2 3\ncpu0 1 2 3\nbtime 1700000000\n")
        pids = chance.sample(range(2, 30000), 20)
        for index, pid in enumerate(pids):
            parent = pids[chance.randrange(index)] if index else 1
            put_process(root, pid, parent, name=chance.choice(["x", "a b", "x) S 1 (y", "((", "é"]), state=chance.choice("RSDTtZXKWIP"),
                        uid=chance.choice([0, 1, 33, 65534, 4000000]), start=chance.choice([1000, 1000 + index]),
                        command=chance.choice([("a", "b c"), ("x", "", "y"), ("title with blanks",), ()]))
        put_process(root, 30001, 30002)
        put_process(root, 30002, 30001)
        compare(pids[0], root)


class Options:
    """What ConfigModel reads of an oslo.config object."""

    def __init__(self, name, options):
        self.name = name
        self._values = {option[0]: option[1] for option in options}
        self._opts = {option[0]: {"opt": type("Opt", (), {"name": option[0], "secret": option[2]})} for option in options}
        self._groups = {}

    def __getitem__(self, key):
        return self._groups[key] if key in self._groups else self._values[key]


def random_value(chance):
    words = ["", "a", "b c", "/var/log/x", "Ünïcode", "x=y", "-", "1.5", "True", "[1]", "a: b"]
    return chance.choice([lambda: chance.choice(words), lambda: chance.choice([True, False]), lambda: chance.randint(-2**63, 2**63 - 1),
                          lambda: chance.choice([0.5, 1e100, -3.25, 1 / 3]), lambda: None,
                          lambda: [chance.choice(words[1:]) for _ in range(chance.randrange(4))]])()


def line(group, name, value, flags):
    kind = "n" if value is None else {str: "s", bool: "b", int: "i", float: "d", list: "l"}[type(value)]
    text = {"n": "", "s": value, "b": "1" if value else "0", "i": str(value), "d": repr(value),
            "l": "\x1e".join(value) if isinstance(value, list) else ""}[kind]
    return "\x1f".join([group, name, kind, text, str(flags)])


@suite.test
def configuration_prints_as_config_model_prints_it(_t):
    chance = random.Random(11)
    for _ in range(40):
        groups = {"DEFAULT": []}
        groups.update({name: [] for name in chance.sample(["database", "oslo_reports", "api", "Zeta", "a-b", "keystone_x", "vnc"], 4)})
        for name, options in groups.items():
            for option in chance.sample(["debug", "host", "port", "log_dir", "Workers", "a_b", "z", "transport", "x-y"], chance.randrange(7)):
                options.append((option, random_value(chance), chance.random() < 0.2))
        lines = [line(group, "", None, 0) for group in groups]
        lines += [line(group, name, value, int(secret)) for group, options in groups.items() for name, value, secret in options]
        chance.shuffle(lines)
        top = Options("", groups["DEFAULT"])
        top._groups = {name: Options(name, options) for name, options in groups.items() if name != "DEFAULT"}
        model = conf.ConfigModel(top)
        model.set_current_view_type("text")
        expected = str(model)
        given = "".join(text + "\n" for text in lines)
        run = lambda view: subprocess.run([BUILD / "tests/sections/config_dump", view], input=given.encode(),  # noqa: E731
                                          stdout=subprocess.PIPE, check=True).stdout.decode()
        text = body(run("text"), "Configuration")
        check(text == expected, f"\n{text}\n-- is not --\n{expected}")
        document = validate.validate_json(run("json"))["configuration"]
        data = {("default" if group == "DEFAULT" else group): {name: "***" if secret else value for name, value, secret in options}
                for group, options in groups.items()}
        check(document == json.loads(json.dumps(data)), document, data)
        validate.validate_xml(run("xml"))


os.environ["LC_ALL"] = "C.UTF-8"
suite.main()
