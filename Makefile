# gmr's front door: meson does the building; tools/setup installs what is missing.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
# for make soak and make fuzz
MINUTES ?= 10

all: setup
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix=$(PREFIX)
	@meson compile -C $(BUILD)

setup:
	@tools/setup

# The example daemon and an unmodified redis-server, each reporting itself.
demo: all
	@tools/demo $(BUILD)

# All tests; the last line is "N passed, N failed".
check: all
	@tests/check $(BUILD)

# Side by side with gdb and eu-stack: a table.
bench: all
	@tests/bench/bench $(BUILD)

# Real programs at work, stopped at random: every thread's functions beside gdb's. PROGRAMS="redis ..." for some.
agree: all
	@/usr/bin/python3 tests/targets/agree.py --build $(BUILD) $(PROGRAMS)

# Every parser fed with garbage, for MINUTES.
fuzz: all
	@tests/fuzz/run $(BUILD) $(MINUTES)

# Two reports a second for MINUTES, watching memory, descriptors and threads; then 1,000 reports of programs that switch all the time.
soak: all
	@/usr/bin/python3 tests/soak/soak.py --build $(BUILD) --minutes $(MINUTES)
	@GMR_BUILD=$(BUILD) GREEN_REPORTS=1000 /usr/bin/python3 tests/green/test_torn.py
	@GMR_BUILD=$(BUILD) GREEN_REPORTS=1000 PYTHONPATH=tests/e2e /usr/bin/python3 tests/outside/test_go.py stacks_that_change_all_the_time_are_whole
	@GMR_BUILD=$(BUILD) GREEN_REPORTS=1000 /usr/bin/python3 tests/green/test_hostile.py ten_million_records

# Every system call and every allocation of libgmr and of gmr report fails once, with several errors: an hour.
faults: all
	@tests/faults/whole $(BUILD)

# Counts what the tests put gmr through, into doc/reliability.md.
reliability: all
	@tools/reliability --build $(BUILD) --soak-minutes $(MINUTES) --fuzz-minutes $(MINUTES)

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@DESTDIR=$(abspath $(DESTDIR)) meson install -C $(BUILD)

format:
	@tools/lint --fix

lint:
	@tools/lint

clean:
	rm -rf $(BUILD)

.PHONY: all setup demo check agree bench fuzz soak faults reliability install format lint clean
