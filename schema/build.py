#!/usr/bin/python3
"""Writes gmr-report-1.schema.json and gmr-report-1.xsd from the one description of a report below.

    schema/build.py            writes both files beside itself
    schema/build.py --check    fails when they are not what this would write

Who adds a member to a report adds it here, in the same commit. Members are strict: what is not described is an error, except in
the program's own sections and in its configuration, where only the program knows. In XML a list's elements are <item>, true is True and null is
None, as oslo.reports writes them.
"""
import json
import pathlib
import sys
from xml.sax.saxutils import escape, quoteattr

HERE = pathlib.Path(__file__).parent

# ------------------------------------------------------------------------------------------------ the language
# A type is (kind, ...); a member's type may be marked as required by naming it in `required`.

STRING, UINT, INT, NUMBER, BOOL, HEX, TIME = ("string",), ("uint",), ("int",), ("number",), ("bool",), ("hex",), ("time",)
BUILD_ID = ("build_id",)
ANY = ("any",)


def one_of(*values):
    return ("enum", values)


def nullable(inner):
    return ("nullable", inner)


def either(*inner):
    return ("either", inner)


def many(inner):
    return ("list", inner)


def map_of(inner):
    """Names that only the target knows, e.g. options: their values have one type."""
    return ("map_of", inner)


def record(required="", **members):
    return ("record", tuple(required.split()), members)


def named(name):
    return ("named", name)


# ------------------------------------------------------------------------------------------------ a report

BOUND = either(UINT, STRING)

TYPES = {
    "frame": record(
        # pc is absent where a language has no address for a call (Python); then language says which
        "",
        pc=HEX, function=STRING, offset=UINT, module=STRING, build_id=BUILD_ID, module_offset=HEX, file=STRING, line=UINT, column=UINT,
        source=STRING, inlined=BOOL, tail_call=BOOL, signal_frame=BOOL, guessed=BOOL, problem=STRING, interpreter=BOOL, language=STRING),
    "stack": record("frames", frames=many(named("frame")), end=STRING),
    "ids": record("real effective saved", real=UINT, effective=UINT, saved=UINT),
    "process": record(
        "pid parent_pid state children",
        pid=UINT, parent_pid=UINT, uids=named("ids"), gids=named("ids"), username=STRING, command=many(STRING), state=STRING,
        start_time=STRING, threads=UINT, memory=record("rss virtual", rss=UINT, virtual=UINT), children=many(named("process"))),
    "limit": record("soft hard", soft=either(UINT, STRING), hard=either(UINT, STRING), unit=STRING),
    "module": record("path start end", path=STRING, start=HEX, end=HEX, build_id=BUILD_ID, deleted=BOOL),
    "socket": record("type", type=STRING, state=STRING, local=STRING, remote=STRING, path=STRING),
    "descriptor": record("fd kind target", fd=UINT, kind=STRING, target=STRING, socket=named("socket")),
    # a number, or "unlimited"
    "cgroup_memory": record("", path=STRING, current=BOUND, max=BOUND, high=BOUND, peak=BOUND, swap_current=BOUND, swap_max=BOUND,
                            oom_kills=UINT, failures=BOUND),
    "cgroup_cpu": record("", path=STRING, cpus=NUMBER, quota_us=BOUND, period_us=UINT, weight=BOUND, shares=BOUND, throttled=UINT,
                         throttled_us=UINT),
    "cgroup_pids": record("", path=STRING, current=BOUND, max=BOUND),
    "call": record("", pc=HEX, function=STRING, argument=HEX),
    "outcome": record("name status", name=STRING, own=BOOL, status=one_of("ok", "partial", "failed", "absent"), reason=STRING, next_step=STRING),
}

MEMBERS = {
    "package": record("", product=nullable(STRING), vendor=nullable(STRING), version=nullable(STRING), executable=STRING,
                      executable_deleted=BOOL, build_id=BUILD_ID, libgmr=nullable(STRING)),
    # only where there is one
    "findings": many(record("kind text", kind=one_of("stopped", "traced", "open_files", "cgroup_memory", "oom_kills", "executable_deleted", "threads",
                                                     "green_stacks"), text=STRING)),
    "threads": many(record("id", id=UINT, name=STRING, language_name=STRING, state=STRING, syscall=STRING, wait_channel=STRING,
                           # another thread, known to hold the mutex or to be the one whose end is waited for
                           waits_for=record("kind thread", kind=one_of("mutex", "thread"), address=HEX, thread=UINT, timed=BOOL, deadlock=BOOL),
                           stack=UINT, problem=STRING, crashed=BOOL)),
    # in the report of a crash only
    "crash": record(
        "signal signal_name thread",
        signal=UINT, signal_name=STRING, code=STRING, address=HEX, address_is=STRING, sender=UINT, sender_uid=UINT, message=STRING, thread=UINT,
        thread_name=STRING, registers=map_of(HEX), stack=many(STRING)),
    "green_threads": many(record(
        "id", id=UINT, name=STRING, kind=STRING, state=STRING, wait_reason=STRING, wait_object=HEX, age_seconds=NUMBER, thread=UINT,
        idle=BOOL, discovered=BOOL, approximate=BOOL, switches=UINT, address=HEX, parent=HEX, entry=named("call"), stack_bytes=UINT,
        stack_used_bytes=UINT, stack_nearly_full=BOOL, created_by=many(named("call")), problem=STRING, stack=UINT)),
    "stacks": many(named("stack")),
    "processes": many(named("process")),
    "configuration": map_of(ANY),
    # in the report of a crash only
    "memory_map": many(STRING),
    "limits": map_of(named("limit")),
    "environment": record("", shown=map_of(STRING), not_shown=UINT),
    "open_files": record("", count=UINT, limit=UINT, kinds=map_of(UINT), descriptors=many(named("descriptor")), not_listed=UINT),
    "modules": many(named("module")),
    "resources": record(
        "",
        cpu_seconds=record("user system children_user children_system", user=NUMBER, system=NUMBER, children_user=NUMBER, children_system=NUMBER),
        memory=record("", rss=UINT, rss_peak=UINT, rss_anonymous=UINT, rss_file=UINT, rss_shared=UINT, virtual=UINT, virtual_peak=UINT, data=UINT,
                      page_tables=UINT, locked=UINT, swap=UINT),
        page_faults=record("minor major", minor=UINT, major=UINT), threads=UINT, nice=INT, scheduling=STRING, realtime_priority=UINT,
        main_thread_switches=record("voluntary involuntary", voluntary=UINT, involuntary=UINT), oom_score=UINT, oom_score_adj=INT,
        io=record("", read=UINT, written=UINT, read_calls=UINT, write_calls=UINT, read_from_disk=UINT, written_to_disk=UINT)),
    # version 2: path and the three controllers; version 1: a path in each, and that of the second hierarchy
    "cgroup": record("", path=STRING, unified_path=STRING, memory=named("cgroup_memory"), cpu=named("cgroup_cpu"), pids=named("cgroup_pids")),
    "host": record(
        "",
        name=STRING, kernel=record("", system=STRING, release=STRING, version=STRING, machine=STRING), libc=STRING,
        cpus=record("", online=UINT, allowed=UINT), uptime_seconds=NUMBER, load=record("", minute_1=NUMBER, minutes_5=NUMBER, minutes_15=NUMBER),
        boot_time=STRING, boot_id=STRING,
        memory=record("", total=UINT, available=UINT, free=UINT, swap_total=UINT, swap_free=UINT)),
    "report": record(
        "status sections",
        id=STRING, service=STRING, pid=UINT, host=STRING, trigger=STRING, time=STRING, method=STRING,
        status=one_of("complete", "partial"), sections=many(named("outcome")), sections_not_listed=UINT,
        cost=record("wall_us", wall_us=UINT, pause_max_us=UINT, pause_median_us=UINT, copied_bytes=UINT)),
}

# ------------------------------------------------------------------------------------------------ JSON Schema

JSON_SIMPLE = {
    "string": {"type": "string"},
    "uint": {"type": "integer", "minimum": 0},
    "int": {"type": "integer"},
    # not-a-number and the infinities are strings
    "number": {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]},
    "bool": {"type": "boolean"},
    "hex": {"type": "string", "pattern": "^0x[0-9a-f]{1,16}$"},
    "build_id": {"type": "string", "pattern": "^([0-9a-f]{2})+$"},
    "time": {"type": "string"},
    "any": {},
}


def json_type(kind):
    name = kind[0]
    if name in JSON_SIMPLE:
        return dict(JSON_SIMPLE[name])
    if name == "enum":
        return {"enum": list(kind[1])}
    if name == "nullable":
        return {"anyOf": [json_type(kind[1]), {"type": "null"}]}
    if name == "either":
        return {"anyOf": [json_type(inner) for inner in kind[1]]}
    if name == "list":
        return {"type": "array", "items": json_type(kind[1])}
    if name == "map_of":
        return {"type": "object", "additionalProperties": json_type(kind[1])}
    if name == "named":
        return {"$ref": f"#/definitions/{kind[1]}"}
    members = {member: json_type(inner) for member, inner in kind[2].items()}
    result = {"type": "object", "properties": members, "additionalProperties": False}
    if kind[1]:
        result["required"] = list(kind[1])
    return result


def json_schema():
    properties = {"schema": {"const": "gmr-report/1"}}
    properties.update({name: json_type(kind) for name, kind in MEMBERS.items()})
    properties["sections"] = {"type": "object", "additionalProperties": {"type": "object"}}
    return json.dumps({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "urn:gmr:report:1",
        "title": "Guru Meditation Report",
        "description": "Written by schema/build.py; see gmr-report(5). A document without \"report\" was cut short.",
        "type": "object",
        "required": ["schema", "report"],
        "additionalProperties": False,
        "properties": properties,
        "definitions": {name: json_type(kind) for name, kind in TYPES.items()},
    }, indent=1) + "\n"


# ------------------------------------------------------------------------------------------------ XML Schema

XSD_SIMPLE = {"string": "xs:string", "uint": "xs:nonNegativeInteger", "int": "xs:integer", "number": "number", "bool": "bool",
              "hex": "hex", "build_id": "build_id", "time": "xs:string"}
ANYTHING = '<xs:complexType mixed="true"><xs:sequence><xs:any processContents="skip" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType>'
MEMBERS_OF_ANY_NAME = '<xs:complexType><xs:sequence><xs:any processContents="skip" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType>'


def xsd_body(kind):
    """(type attribute, or None; the type's own text)"""
    name = kind[0]
    if name in XSD_SIMPLE:
        return XSD_SIMPLE[name], ""
    if name == "named":
        return kind[1], ""
    if name == "any":
        return None, ANYTHING
    if name == "map_of":
        return None, MEMBERS_OF_ANY_NAME
    if name in ("nullable", "either"):
        return "xs:string", ""
    if name == "enum":
        values = "".join(f"<xs:enumeration value={quoteattr(value)}/>" for value in kind[1])
        return None, f'<xs:simpleType><xs:restriction base="xs:string">{values}</xs:restriction></xs:simpleType>'
    return None, xsd_complex(kind)


def xsd_complex(kind, name=None):
    attribute = f' name="{name}"' if name else ""
    if kind[0] == "list":
        item = xsd_element("item", kind[1], 'minOccurs="0" maxOccurs="unbounded"')
        return f"<xs:complexType{attribute}>\n<xs:sequence>\n{item}</xs:sequence>\n</xs:complexType>"
    members = "".join(xsd_element(member, inner, "" if member in kind[1] else 'minOccurs="0"') for member, inner in kind[2].items())
    return f"<xs:complexType{attribute}>\n<xs:all>\n{members}</xs:all>\n</xs:complexType>"


def xsd_element(name, kind, occurs):
    kind_name, body = xsd_body(kind)
    attributes = " ".join(part for part in (f'name="{name}"', f'type="{kind_name}"' if kind_name else "", occurs) if part)
    return f"<xs:element {attributes}/>\n" if kind_name else f"<xs:element {attributes}>{body}</xs:element>\n"


def xsd():
    simple = (
        '<xs:simpleType name="bool"><xs:restriction base="xs:string"><xs:enumeration value="True"/><xs:enumeration value="False"/>'
        '</xs:restriction></xs:simpleType>\n'
        '<xs:simpleType name="hex"><xs:restriction base="xs:string"><xs:pattern value="0x[0-9a-f]{1,16}"/></xs:restriction></xs:simpleType>\n'
        '<xs:simpleType name="build_id"><xs:restriction base="xs:string"><xs:pattern value="([0-9a-f]{2})+"/></xs:restriction></xs:simpleType>\n'
        '<xs:simpleType name="number"><xs:restriction base="xs:string">'
        '<xs:pattern value="-?[0-9]+(\\.[0-9]+)?(e[+\\-][0-9]+)?|nan|-?inf"/></xs:restriction></xs:simpleType>\n')
    types = "".join(xsd_complex(kind, name) + "\n" for name, kind in TYPES.items())
    members = "".join(xsd_element(name, kind, "" if name == "report" else 'minOccurs="0"') for name, kind in MEMBERS.items())
    own = ('<xs:element name="sections" minOccurs="0"><xs:complexType><xs:sequence><xs:element name="section" minOccurs="0" maxOccurs="unbounded">'
           '<xs:complexType><xs:sequence><xs:any processContents="skip" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>'
           '<xs:attribute name="title" type="xs:string" use="required"/></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>\n')
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {escape("Guru Meditation Report. Written by schema/build.py; see gmr-report(5).")} -->\n'
            f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">\n{simple}{types}'
            f'<xs:element name="report">\n<xs:complexType>\n<xs:all>\n{members}{own}</xs:all>\n'
            '<xs:attribute name="schema" use="required" fixed="gmr-report/1"/>\n</xs:complexType>\n</xs:element>\n</xs:schema>\n')


def main():
    files = {"gmr-report-1.schema.json": json_schema(), "gmr-report-1.xsd": xsd()}
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in files.items() if not (HERE / name).exists() or (HERE / name).read_text(encoding="utf-8") != text]
        if stale:
            sys.exit(f"{', '.join(stale)}: not what schema/build.py writes; run it")
        return
    for name, text in files.items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
