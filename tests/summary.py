"""Counts the test cases of meson runs, subtests included: "N passed, N failed[, N skipped]".

    summary.py FOUND JUNIT...

FOUND: 1 if a sanitizer found something, which is a failure though every test passed.
"""
import sys
import xml.etree.ElementTree as ET

passed = failed = skipped = 0
for case in (case for name in sys.argv[2:] for case in ET.parse(name).iter("testcase")):
    if case.find("failure") is not None or case.find("error") is not None:
        failed += 1
    elif case.find("skipped") is not None:
        skipped += 1
    else:
        passed += 1
failed = failed or int(sys.argv[1])
tail = f", {skipped} skipped" if skipped else ""
print(f"{passed} passed, {failed} failed{tail}")
sys.exit(1 if failed or not passed else 0)
