# SPDX-License-Identifier: GPL-2.0
"""The benchmark of the module: sizes from its file."""

import struct

import pytest

from tools.bench import elf
from tools.guest.errors import ToolError

WRITE, ALLOC, EXECUTE = 1, 2, 4
PROGBITS, STRTAB, NOBITS = 1, 3, 8
SECTIONS = (
    ("", 0, 0, 0),
    (".text", PROGBITS, ALLOC | EXECUTE, 100),
    (".exit.text", PROGBITS, ALLOC | EXECUTE, 7),
    (".init.text", PROGBITS, ALLOC | EXECUTE, 1000),
    (".modinfo", PROGBITS, ALLOC, 1000),
    (".rodata", PROGBITS, ALLOC, 30),
    (".data", PROGBITS, ALLOC | WRITE, 20),
    (".bss", NOBITS, ALLOC | WRITE, 4096),
    (".debug_info", PROGBITS, 0, 1000),
    (".shstrtab", STRTAB, 0, 0),
)


def _module():
    names = b"".join(name.encode() + b"\0" for name, *_ in SECTIONS)
    header = struct.pack(
        "<6s34xQ10xHHH", b"\x7fELF\x02\x01", 64 + len(names), 64, len(SECTIONS), len(SECTIONS) - 1
    )
    table = b""
    place = 0
    for name, kind, flags, size in SECTIONS:
        offset = 64 if kind == STRTAB else 0
        table += struct.pack("<IIQQQQIIQQ", place, kind, flags, 0, offset, size, 0, 0, 1, 0)
        place += len(name) + 1
    return header + names + table


def test_sizes(tmp_path):
    module = tmp_path / "module.ko"
    module.write_bytes(_module())
    assert elf.read(module) == elf.Sizes(text=107, read_only=30, data=20, bss=4096)


@pytest.mark.parametrize("content", [b"", b"MZ", _module()[:80]], ids=["empty", "other", "cut"])
def test_no_module(tmp_path, content):
    module = tmp_path / "module.ko"
    module.write_bytes(content)
    with pytest.raises(ToolError, match="no kernel module"):
        elf.read(module)
