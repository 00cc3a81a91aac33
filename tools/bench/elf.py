# SPDX-License-Identifier: GPL-2.0
"""What of a kernel module goes into memory, from the sections of its file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from tools.guest.errors import ToolError

_MAGIC = b"\x7fELF\x02\x01"
# Of the header: where the sections' table is, how large an entry, how many, which has their names.
_TABLE = struct.Struct("<40xQ10xHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NOBITS = 8
# Gone when the module has started, or not loaded at all.
_NOT_KEPT = (".init", ".modinfo")
_WRITE, _ALLOC, _EXECUTE = 1, 2, 4


@dataclass(frozen=True)
class Sizes:
    """In bytes: of what stays in memory while the module is loaded."""

    text: int
    read_only: int
    data: int
    bss: int


def read(path: Path) -> Sizes:
    content = path.read_bytes()
    try:
        return _sizes(content)
    except (struct.error, ValueError) as error:
        raise ToolError(f"{path} is no kernel module for a 64-bit machine: {error}") from error


def _sizes(content: bytes) -> Sizes:
    if not content.startswith(_MAGIC):
        raise ValueError("it is no little-endian ELF file of 64 bits")
    start, each, count, names = _TABLE.unpack_from(content)
    headers = [_SECTION.unpack_from(content, start + number * each) for number in range(count)]
    strings = headers[names][4]
    found = {"text": 0, "read_only": 0, "data": 0, "bss": 0}
    for name, kind, flags, _, _, size, *_ in headers:
        end = content.index(b"\0", strings + name)
        title = content[strings + name : end].decode(errors="replace")
        if flags & _ALLOC and not title.startswith(_NOT_KEPT):
            found[_kind(kind, flags)] += size
    return Sizes(**found)


def _kind(kind: int, flags: int) -> str:
    if kind == _NOBITS:
        return "bss"
    if flags & _EXECUTE:
        return "text"
    return "data" if flags & _WRITE else "read_only"
