# gmr's front door: meson does the building; tools/setup installs what is missing.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=

all: setup
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix=$(PREFIX)
	@meson compile -C $(BUILD)

setup:
	@tools/setup

check: all
	@tests/check $(BUILD)

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD)

.PHONY: all setup check install clean
