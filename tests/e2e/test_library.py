"""libgmr from a program's point of view: sections, generators that misbehave, reports from code, options."""
import errno
import json
import os
import signal

from common import check, suite
from puppet import BEGIN, END, Puppet, section


@suite.test
def a_signal_prints_a_whole_report_on_standard_error(t):
    puppet = Puppet(t).setup(product="puppet", vendor="gmr", version="1.0")
    report = puppet.report()
    package = section(report, "Package")
    for line in ("product = puppet", "vendor = gmr", "version = 1.0"):
        check(line in package.splitlines(), line, "is missing in", package)
    for title in ("Threads", "Green Threads", "Processes", "Configuration", "Limits", "Host"):
        section(report, title)
    check(f"signal {int(signal.SIGUSR2)} from pid {os.getpid()}" in report, "who asked is not told")


@suite.test
def sections_come_in_order_of_registration_before_and_after_setup(t):
    puppet = Puppet(t, "register Zebra plain", "register Apple plain").setup()
    check(puppet("register Middle plain") == 0)
    check(puppet("register Zebra plain") == 0, "a title may come twice")
    report = puppet.report()
    body = section(report, "Zebra")
    check(body.splitlines()[:2] == ["answer = 42", "greeting = hello"], "sorted keys expected, not", body)
    places = [report.index(f" {title} ") for title in ("Zebra", "Apple", "Middle")]
    check(places == sorted(places), "order:", places)
    check(puppet("unregister Apple plain") == 0)
    check(puppet("unregister Apple plain") == -errno.ENOENT)
    check(" Apple " not in puppet.report())


@suite.test
def a_generator_that_misbehaves_costs_its_own_section_only(t):
    kinds = {"fails": "EIO", "leaves-open": "left a map, list or table open", "misuses": "does not fit", "nulls": "does not fit"}
    puppet = Puppet(t, *(f"register {kind} {kind}" for kind in kinds), "register Last plain").setup()
    report = puppet.report()
    for kind, reason in kinds.items():
        check(reason in section(report, kind), kind, "is not told in", section(report, kind))
    check("before = kept" in section(report, "fails"))
    check("answer = 42" in section(report, "Last"))


@suite.test
def a_generator_past_its_budget_is_cut(t):
    puppet = Puppet(t, "register Flood floods", "register Last plain").setup(section_max_bytes=100000)
    report = puppet.report()
    check("larger than its budget" in section(report, "Flood"), section(report, "Flood")[-300:])
    check(len(section(report, "Flood")) < 300000)
    check("answer = 42" in section(report, "Last"))


@suite.test
def generators_that_hang_or_spin_are_abandoned_and_the_next_ones_run(t):
    puppet = Puppet(t, "register Hangs hangs", "register Spins spins", "register Last plain").setup(section_timeout_ms=300)
    report = puppet.report()
    for title in ("Hangs", "Spins"):
        check("did not finish within 300 ms" in section(report, title), section(report, title))
        check("before = kept" in section(report, title))
    check("answer = 42" in section(report, "Last"))
    # They are not started a second time, so that no number of reports uses up the threads.
    for _ in range(6):
        report = puppet.report()
        check("still running since an earlier report" in section(report, "Hangs"), section(report, "Hangs"))
        check("answer = 42" in section(report, "Last"))
    check(puppet("unregister Hangs hangs") == -errno.EBUSY)
    check(puppet("unregister Last plain") == 0)


@suite.test
def a_report_from_within_a_generator_is_refused(t):
    puppet = Puppet(t, "register Reports reports").setup()
    check(f"result = {-errno.EDEADLK}" in section(puppet.report(), "Reports"))


@suite.test
def null_for_every_pointer_is_refused(t):
    puppet = Puppet(t)
    check(puppet("nulls") == 0, "some calls took NULL")
    check(puppet("setup-null") == 0)
    check(puppet("nulls") == 0, "some calls took NULL after setup")


@suite.test
def a_title_of_500_characters_is_kept_whole(t):
    title = "T" * 500
    puppet = Puppet(t, f"register {title} plain").setup()
    check(title in puppet.report())
    check(puppet(f"unregister {title} plain") == 0)


@suite.test
def reports_are_written_from_code_with_and_without_setup(t):
    for prepared in (False, True):
        puppet = Puppet(t, "register Mine plain")
        if prepared:
            puppet.setup()
        path = t.tmp / f"report.{prepared}"
        fd = puppet(f"open {path}")
        check(puppet(f"write {fd} 2") == 0)
        document = t.valid_json(path.read_text())
        check(document["sections"]["Mine"]["answer"] == 42)
        check(document["report"]["pid"] == puppet.pid)
        puppet(f"close {fd}")
        fd = puppet(f"open {path}")
        check(puppet(f"write {fd} 3") == 0)
        t.valid_xml(path.read_bytes())


@suite.test
def one_section_is_written_from_code(t):
    puppet = Puppet(t, "register Mine plain").setup()
    for title, member in (("Mine", "sections"), ("Limits", "limits"), ("Package", "package"), ("Processes", "processes")):
        path = t.tmp / "section"
        fd = puppet(f"open {path}")
        check(puppet(f"section {fd} 2 {title}") == 0)
        document = json.loads(path.read_text())
        check(member in document and set(document) <= {"schema", "report", member}, title, list(document))
        puppet(f"close {fd}")
    check(puppet("section 1 1 Nonexistent") != 0)


@suite.test
def a_section_that_does_not_exist_is_told(t):
    puppet = Puppet(t).setup()
    path = t.tmp / "none"
    fd = puppet(f"open {path}")
    check(puppet(f"section {fd} 1 Nonexistent") == -errno.ENOENT)
    check(path.read_text() == "", "nothing should be written")


@suite.test
def many_threads_report_at_once(t):
    puppet = Puppet(t, "register Mine plain").setup()
    path = t.tmp / "all"
    fd = puppet(f"open {path}")
    check(puppet(f"at-once {fd} 6") == 0)
    check(path.read_text().count('"schema"') == 6)


@suite.test
def writing_to_a_pipe_that_nobody_reads_any_more_is_an_error(t):
    reader, writer = os.pipe()
    os.close(reader)
    puppet = Puppet(t, pass_fds=[writer])
    check(puppet(f"write {writer} 1") == -errno.EPIPE)
    check(puppet("armed") == 0, "it lives on")
    os.close(writer)


@suite.test
def a_signal_that_the_program_handles_is_not_stolen(t):
    puppet = Puppet(t, f"handle {int(signal.SIGUSR2)}")
    puppet.setup(expected=1)
    check("already handles signal 12" in puppet("message"))
    check(puppet("armed") & 1 == 0)
    puppet("set flags 1")
    puppet.setup()
    check(puppet("message") == "")
    puppet.report()
    puppet(f"handle {int(signal.SIGUSR2)}")
    check(puppet("armed") & 1 == 0, "a handler installed later is not noticed")


@suite.test
def shutdown_disarms_everything_and_setup_arms_it_again(t):
    puppet = Puppet(t).setup()
    check(puppet("armed") == 5)
    check(puppet("shutdown") == 0)
    check(puppet("armed") == 0)
    check(puppet("shutdown") == 0)
    check(puppet("trigger") == -errno.ESRCH)
    puppet.setup()
    puppet.report()
    puppet("shutdown")
    puppet.signal()
    t.wait(lambda: not puppet.process.alive(), "the signal's default action")
    check(puppet.process.popen.returncode == -signal.SIGUSR2)


@suite.test
def an_older_or_damaged_options_struct_is_taken_for_what_it_is(t):
    puppet = Puppet(t)
    for size, expected in ((0, -errno.EINVAL), (4, -errno.EINVAL), (32, 0), (100000, 0)):
        puppet(f"set size {size}")
        check(puppet("setup") == expected, size)
    puppet.report()


@suite.test
def the_environment_comes_before_the_struct(t):
    puppet = Puppet(t, env=t.environment(GMR_SIGNAL="SIGWINCH", GMR_SERVICE="renamed", GMR_VIEW="json", GMR_CONTROL_SOCKET="off"))
    puppet.setup(signal=int(signal.SIGUSR1), service="struct")
    check(puppet("armed") == 1)
    puppet.signal(signal.SIGWINCH)
    t.wait(lambda: '"report"' in puppet.stderr() and puppet.stderr().endswith("}}}\n"), "a report in JSON", alive=puppet.process)
    check(t.valid_json(puppet.stderr())["report"]["service"] == "renamed")


@suite.test
def settings_that_make_no_sense_are_told_and_ignored(t):
    puppet = Puppet(t, env=t.environment(GMR_SIGNAL="NOSUCH", GMR_VIEW="papyrus", GMR_WATCH_INTERVAL_MS="soon", GMR_CONTROL_SOCKET="maybe"))
    puppet.setup()
    message = puppet("message")
    for name in ("GMR_SIGNAL", "GMR_VIEW", "GMR_WATCH_INTERVAL_MS", "GMR_CONTROL_SOCKET"):
        check(name in message, name, "is not told in:", message)
    puppet.report()


@suite.test
def an_ini_file_comes_before_the_struct_and_after_the_environment(t):
    logs, other = t.directory("logs"), t.directory("other")
    ini = t.tmp / "daemon.conf"
    ini.write_text(f"[DEFAULT]\ndebug = true\n\n[oslo_reports]\nlog_dir = {logs}\nfile_event_handler = {t.tmp}/touch-me\n"
                   "file_event_handler_interval = 1\n")
    puppet = Puppet(t).setup(config=ini, log_dir=other)
    check(puppet("armed") & 2, "file_event_handler is not armed")
    puppet.signal()
    t.wait(lambda: os.listdir(logs), "a file where the INI file says", alive=puppet.process)
    puppet = Puppet(t, env=t.environment(GMR_LOG_DIR=str(other))).setup(config=ini)
    puppet.signal()
    t.wait(lambda: os.listdir(other), "a file where the environment says", alive=puppet.process)
    report = t.report(puppet.pid)
    check(report["configuration"]["oslo_reports"] == {"log_dir": str(other), "file_event_handler": f"{t.tmp}/touch-me",
                                                      "file_event_handler_interval": 1}, report["configuration"])


@suite.test
def an_ini_file_that_can_not_be_read_is_told(t):
    malformed = t.tmp / "malformed.conf"
    malformed.write_text("[oslo_reports\nlog_dir\n\0\0=")
    for path in (malformed, t.tmp / "missing.conf", t.tmp):
        puppet = Puppet(t).setup(config=path)
        check(puppet("message") != "", "nothing is told of", path)
        puppet.report()


@suite.test
def nothing_of_it_is_visible_to_the_program(t):
    puppet = Puppet(t)
    before = puppet.fds()
    puppet.setup()
    check(puppet.fds() == before, "descriptors of ours show up", puppet.fds())
    check(puppet("wait-any") == -errno.ECHILD)
    for _ in range(3):
        puppet.signal()
        for _ in range(200):
            check(puppet("wait-any") == -errno.ECHILD, "a child that is not its own")
        puppet.report()
    check(puppet.fds() == before)
    check(puppet("wait-any") == -errno.ECHILD)
    children = open(f"/proc/{puppet.pid}/task/{puppet.pid}/children", encoding="ascii").read().split()
    check(not children, "left behind:", children)


suite.main()
