"""Writes a directory as an initial file system for Linux: initramfs.py DIRECTORY FILE. The format is cpio's "newc" (the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst); everything belongs to root, and a console is added."""
import os
import pathlib
import stat
import sys


class Archive:
    def __init__(self, file):
        self.file, self.count = file, 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.count += 1
        path = name.encode() + b"\0"
        numbers = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        self.file.write(b"070701" + b"".join(b"%08X" % number for number in numbers) + path)
        self.file.write(b"\0" * (-(110 + len(path)) % 4) + data + b"\0" * (-len(data) % 4))


def main(directory, target):
    with open(target, "wb") as file:
        archive = Archive(file)
        for path in sorted(pathlib.Path(directory).rglob("*")):
            mode, name = path.lstat().st_mode, str(path.relative_to(directory))
            if stat.S_ISLNK(mode):
                archive.add(name, mode, os.readlink(path).encode())
            elif stat.S_ISREG(mode):
                archive.add(name, mode, path.read_bytes())
            elif stat.S_ISDIR(mode):
                archive.add(name, mode)
        archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        archive.add("TRAILER!!!", 0)


main(*sys.argv[1:])
