#!/usr/bin/python3
"""gmr's generic views against oslo.reports' own, byte for byte, on generated data."""
import os
import random
import string
import struct
import subprocess

from common import Skip, check, suite

try:
    from oslo_reports.models import base
    from oslo_reports.views.json import generic as json_views
    from oslo_reports.views.text import generic as text_views
    from oslo_reports.views.text import header as header_views
    from oslo_reports.views.xml import generic as xml_views
except ImportError:
    base = None

CASES = int(os.environ.get("GMR_OSLO_CASES", "1500"))
KEY_VALUE, BASIC, MULTI, TABLE, JSON, XML = range(1, 7)
STYLE = ("indent_str", "key_sep", "dict_sep", "list_sep", "anon_dict", "before_dict", "before_list")
WORDS = ["", "a", "B", "eth0", "thread pool", "it's", 'say "hi"', "both ' and \"", "back\\slash", "tab\there", "é", "€uro", "漢字", "😀",
         "a=b", "<tag>", "&amp;", "[dict]", "None", "True", "12", "-1", "x" * 70, "two\nlines", "\nfirst empty", "last empty\n", "a\n\nb",
         "\u00a0", "\u00ad", "%s", "{0}", "|", "0", "~"]


class Data:
    """Random trees that both sides understand."""

    def __init__(self, seed, xml=False):
        self.random = random.Random(seed)
        self.xml = xml

    def text(self):
        r = self.random
        if r.random() < 0.5:
            return r.choice(WORDS)
        letters = string.ascii_letters + string.digits + " _-'\"\\<>&é漢😀\t"
        return "".join(r.choice(letters) for _ in range(r.randrange(12)))

    def key(self):
        r = self.random
        if self.xml or r.random() < 0.6:
            return r.choice(string.ascii_letters + "_é") + "".join(r.choice("abcXYZ019_-.é") for _ in range(r.randrange(6)))
        return self.text().replace("\n", "/")

    def number(self):
        r = self.random
        kind = r.randrange(6)
        if kind == 0:
            return r.randrange(-2**63, 2**63)
        if kind == 1:
            return r.randrange(2**63, 2**64)
        if kind == 2:
            while True:
                value = struct.unpack("d", r.getrandbits(64).to_bytes(8, "little"))[0]
                if value == value and abs(value) != float("inf"):
                    return value
        if kind == 3:
            return r.randrange(-10**6, 10**6) / 10**r.randrange(8)
        return r.randrange(-20, 20)

    def value(self, depth):
        r = self.random
        kind = r.randrange(10 if depth < 5 else 6)
        if kind < 2:
            return self.text()
        if kind < 4:
            return self.number()
        if kind == 4:
            return r.random() < 0.5
        if kind == 5:
            return None
        if kind < 8:
            return [self.value(depth + 1) for _ in range(r.randrange(6))]
        return self.map(depth + 1)

    def map(self, depth=0):
        return {self.key(): self.value(depth) for _ in range(self.random.randrange(7))}

    def style(self):
        r = self.random
        if r.random() < 0.4:
            return {}
        choices = {"indent_str": ["~~", "\t", "", "    "], "key_sep": [": ", "="], "dict_sep": [": ", "", " =>"], "list_sep": [":", " ->"],
                   "anon_dict": ["", "{}", "-"], "before_dict": ["", "---", "two\nlines"], "before_list": ["", "+++"]}
        return {name: r.choice(values) for name, values in choices.items() if r.random() < 0.5}


def pack(text):
    if text is None:
        return struct.pack("I", 0xFFFFFFFF)
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("I", len(data)) + data


def operations(value, key):
    """A value as the helper reads it."""
    if value is None:
        return b"n" + pack(key)
    if value is True or value is False:
        return (b"1" if value else b"0") + pack(key)
    if isinstance(value, int):
        return b"u" + pack(key) + struct.pack("Q", value) if value >= 2**63 else b"i" + pack(key) + struct.pack("q", value)
    if isinstance(value, float):
        return b"d" + pack(key) + struct.pack("d", value)
    if isinstance(value, (str, bytes)):
        return b"s" + pack(key) + pack(value)
    if isinstance(value, list):
        return b"l" + pack(key) + b"".join(operations(item, None) for item in value) + b"f"
    return b"m" + pack(key) + members(value) + b"e"


def members(data):
    return b"".join(operations(value, key) for key, value in data.items())


def describe(kind, body, title=None, header=None, name=None, style=None, flags=0):
    head = bytes([kind]) + struct.pack("I", flags) + pack(title) + pack(header) + pack(name)
    return head + b"".join(pack((style or {}).get(item)) for item in STYLE) + body + b"."


def table_body(columns, rows, key="table"):
    body = b"t" + pack(key) + struct.pack("I", len(columns)) + b"".join(pack(name) for name in columns) + struct.pack("I", len(rows))
    return body + b"".join(pack(cell) for row in rows for cell in row)


def render(t, descriptions):
    """The helper's texts, one process for all."""
    result = subprocess.run([t.build("tests/e2e/render")], input=b"".join(descriptions), stdout=subprocess.PIPE, check=True, timeout=600)
    output, texts, at = result.stdout, [], 0
    while at < len(output):
        error, length = struct.unpack_from("iI", output, at)
        texts.append((error, output[at + 8:at + 8 + length]))
        at += 8 + length
    check(len(texts) == len(descriptions), "answers:", len(texts), "for", len(descriptions))
    return texts


def compare(t, cases):
    """cases: (description, what oslo.reports says, the data)"""
    if base is None:
        raise Skip("python3-oslo.reports is not installed")
    for (error, got), (_, want, data) in zip(render(t, [case[0] for case in cases]), cases):
        check(error == 0, f"error {error} for {data!r}")
        check(got.decode() == want, f"\ndata {data!r}\ngot  {got.decode()!r}\nwant {want!r}")


def model(data, view=None):
    return base.ReportModel(data=data, attached_view=view)


@suite.test
def key_value_text_is_the_same(t):
    cases = []
    for seed in range(CASES):
        data = Data(seed)
        tree, style = data.map(), data.style()
        want = text_views.KeyValueView(**style)(model(tree)) if base else ""
        cases.append((describe(KEY_VALUE, members(tree), style=style), want, tree))
    compare(t, cases)


@suite.test
def json_is_the_same(t):
    cases = []
    for seed in range(CASES):
        tree = Data(seed + 100000).map()
        want = str(json_views.KeyValueView()(model(tree))) if base else ""
        cases.append((describe(JSON, members(tree)), want, tree))
    compare(t, cases)


@suite.test
def xml_is_the_same(t):
    cases = []
    for seed in range(CASES):
        data = Data(seed + 200000, xml=True)
        tree, name = data.map(), data.random.choice([None, "cheese", "modèle"])
        want = str(xml_views.KeyValueView(name or "model")(model(tree))) if base else ""
        cases.append((describe(XML, members(tree), name=name), want, tree))
    compare(t, cases)


@suite.test
def basic_key_value_text_is_the_same(t):
    cases = []
    for seed in range(CASES):
        tree = Data(seed + 300000).map()
        want = text_views.BasicKeyValueView()(model(tree)) if base else ""
        cases.append((describe(BASIC, members(tree)), want, tree))
    compare(t, cases)


@suite.test
def multi_view_is_the_same(t):
    cases = []
    for seed in range(CASES):
        tree = Data(seed + 400000).map()
        want = ""
        if base:
            # In oslo.reports a member with a text of its own is a model; in gmr it is a map.
            models = {k: model(v, text_views.KeyValueView()) if isinstance(v, dict) else v for k, v in tree.items()}
            want = text_views.MultiView()(model(models))
        cases.append((describe(MULTI, members(tree)), want, tree))
    compare(t, cases)


@suite.test
def tables_are_the_same_where_cells_fit(t):
    cases = []
    for seed in range(CASES):
        r = random.Random(seed)
        columns = [f"Col {i}" if r.random() < 0.7 else "ä€" for i in range(r.randrange(1, 13))]
        width = (72 - len(columns) + 1) // len(columns)
        columns = [name[:width] for name in columns]
        rows = [["".join(r.choice("abcé漢 '") for _ in range(r.randrange(width + 1))) for _ in columns] for _ in range(r.randrange(4))]
        props = [str(i) for i in range(len(columns))]
        want = ""
        if base:
            want = text_views.TableView(columns, props, "table")(model({"table": [dict(zip(props, row)) for row in rows]}))
        cases.append((describe(TABLE, table_body(columns, rows)), want, (columns, rows)))
    compare(t, cases)


@suite.test
def a_table_within_a_section_is_laid_out_as_a_submodel(t):
    cases = []
    for columns, rows in ((["A", "B"], [["1", "2"], ["x", "y"]]), (["Only"], []), (["a", "b", "c"], [["1", "", "é"]])):
        props = [str(i) for i in range(len(columns))]
        want = ""
        if base:
            table = text_views.TableView(columns, props, "t")(model({"t": [dict(zip(props, row)) for row in rows]}))
            want = text_views.KeyValueView()(model({"a": 1, "jobs": table, "z": {"in": table}}))
        body = operations(1, "a") + table_body(columns, rows, "jobs") + b"m" + pack("z") + table_body(columns, rows, "in") + b"e"
        cases.append((describe(KEY_VALUE, body), want, (columns, rows)))
    compare(t, cases)


@suite.test
def cells_that_are_too_wide_are_cut(t):
    rows = [["x" * 200, "é" * 100, "\x1b[31m" * 20], ["ok", "漢" * 22, "\udcff".encode("utf-8", "surrogateescape") * 30]]
    (error, text), = render(t, [describe(TABLE, table_body(["A", "B" * 99, "C"], rows))])
    check(error == 0, error)
    lines = text.decode().split("\n")
    check(len(lines) == 5 and lines[-1] == "", lines)
    for line in lines[:-1]:
        check(len(line) == 72, len(line), line)
    check(lines[2].split("|")[:2] == ["x" * 23, "é" * 23], lines[2])
    check("\x1b" not in text.decode() and "\\x1b" in lines[2] and "\\xff" in lines[3], lines)


@suite.test
def titles_and_headers_are_the_same(t):
    cases = []
    for title in ("Threads", "", "é", "x" * 64, "x" * 65, "x" * 500, "odd"):
        want = str(header_views.TitledView(title)(text_views.KeyValueView()(model({"a": 1})))) if base else ""
        cases.append((describe(KEY_VALUE, operations(1, "a"), title=title), want, title))
        want = header_views.HeaderView(title)("a = 1") if base else ""
        cases.append((describe(KEY_VALUE, operations(1, "a"), header=title), want, title))
    compare(t, cases)


@suite.test
def order_is_kept_where_asked(t):
    tree = {"b": [3, 1, {"z": 1, "a": 2}], "a": 1}
    (_, text), = render(t, [describe(KEY_VALUE, members(tree), flags=1)])
    check(text.decode() == "b = \n  3\n  1\n  [dict]\n    z = 1\n    a = 2\na = 1", text.decode())


if __name__ == "__main__":
    suite.main()
