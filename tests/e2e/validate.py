"""Reports against the schemas that ship: validate_json(text or document), validate_xml(text or bytes). Each raises AssertionError with what is wrong and where.

As a program: validate.py FILE... checks files by their beginning ('{' or '<').
"""
import json
import pathlib
import sys

import jsonschema
from lxml import etree

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schema"


def _pairs(pairs):
    names = [name for name, _ in pairs]
    doubles = {name for name in names if names.count(name) > 1} if len(set(names)) != len(names) else None
    if doubles:
        raise AssertionError(f"not valid: the same member twice: {sorted(doubles)}")
    return dict(pairs)


def _constant(name):
    raise AssertionError(f"not JSON: {name}")


def parse_json(text):
    """Strict: no member twice, no NaN, no bytes that aren't UTF-8."""
    if isinstance(text, bytes):
        text = text.decode()
    return json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)


_loaded = {}


def _json_validator():
    if "json" not in _loaded:
        schema = json.loads((SCHEMAS / "gmr-report-1.schema.json").read_text(encoding="utf-8"))
        jsonschema.Draft7Validator.check_schema(schema)
        _loaded["json"] = jsonschema.Draft7Validator(schema)
    return _loaded["json"]


def _stacks_exist(document):
    statuses = {section["name"]: section["status"] for section in document.get("report", {}).get("sections", [])}
    if statuses.get("stacks", "ok") != "ok":
        return  # and it says so
    count = len(document.get("stacks", []))
    for section in ("threads", "green_threads"):
        for thread in document.get(section, []):
            if thread.get("stack", 0) >= count and "stack" in thread:
                raise AssertionError(f"{section}: {thread.get('id')} names stack {thread['stack']} of {count}")


def validate_json(report):
    """The parsed document."""
    document = parse_json(report) if isinstance(report, (str, bytes)) else report
    errors = sorted(_json_validator().iter_errors(document), key=lambda error: len(error.absolute_path))
    if errors:
        error = errors[0]
        raise AssertionError(f"not valid at /{'/'.join(map(str, error.absolute_path))}: {error.message[:1000]} ({len(errors)} errors)")
    _stacks_exist(document)
    return document


def validate_xml(report):
    """The parsed root element."""
    root = etree.fromstring(report.encode() if isinstance(report, str) else report,
                            etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    if "xml" not in _loaded:
        _loaded["xml"] = etree.XMLSchema(etree.parse(str(SCHEMAS / "gmr-report-1.xsd")))
    if not _loaded["xml"].validate(root):
        error = _loaded["xml"].error_log[0]
        raise AssertionError(f"not valid at {error.path}, line {error.line}: {error.message}")
    return root


def main():
    for name in sys.argv[1:]:
        data = pathlib.Path(name).read_bytes()
        (validate_json if data.lstrip()[:1] == b"{" else validate_xml)(data)
        print(f"{name}: valid")


if __name__ == "__main__":
    main()
