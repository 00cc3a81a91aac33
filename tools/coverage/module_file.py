# SPDX-License-Identifier: GPL-2.0
"""What a module's file says about its coverage counters: which belong to which function.

The layout is that of `__llvm_profile_data` (llvm/ProfileData/InstrProfData.inc), which has been
the same since LLVM 18.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from tools.guest.errors import ToolError

_RECORD_BYTES = 64
_HASHES = struct.Struct("<QQ")
# Offsets in a record: the place that says where the function's counters are, and how many.
_COUNTERS_AT = 16
_COUNT_AT = 48
_SECTION = struct.Struct("<IIQQQQIIQQ")
_RELOCATION = struct.Struct("<QQq")
_SYMBOL = struct.Struct("<IBBHQQ")
_PC64 = 24


@dataclass(frozen=True)
class Function:
    name: str
    hash: int
    # Bytes from the begin of the counters' section.
    offset: int
    counters: int


@dataclass(frozen=True)
class _Section:
    offset: int
    size: int


class ModuleFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = path.read_bytes()
        if self._data[:6] != b"\x7fELF\x02\x01":
            raise ToolError(f"{path} is no 64-bit little-endian ELF file")
        self._sections, self._indices = self._read_sections()

    def counter_bytes(self) -> int:
        return self._section("__llvm_prf_cnts").size

    def functions(self) -> list[Function]:
        names = self._names()
        records = self._content("__llvm_prf_data")
        counters = self._counter_offsets()
        found = []
        for start in range(0, len(records), _RECORD_BYTES):
            name, code = _HASHES.unpack_from(records, start)
            (count,) = struct.unpack_from("<I", records, start + _COUNT_AT)
            if name not in names or start not in counters:
                raise ToolError(f"{self._path}: a record of a function is not as it should be")
            found.append(Function(names[name], code, counters[start], count))
        return found

    def _counter_offsets(self) -> dict[int, int]:
        """By offset of the record. It has the distance, which is left to the loader."""
        symbols = self._section(".symtab")
        wanted = self._indices["__llvm_prf_cnts"]
        found = {}
        for place, info, addend in _RELOCATION.iter_unpack(self._content(".rela__llvm_prf_data")):
            if place % _RECORD_BYTES != _COUNTERS_AT or info & 0xFFFFFFFF != _PC64:
                continue
            at = symbols.offset + (info >> 32) * _SYMBOL.size
            _, _, _, section, value, _ = _SYMBOL.unpack_from(self._data, at)
            if section == wanted:
                # The distance is from the begin of the record, the relocation's is from its place.
                found[place - _COUNTERS_AT] = value + addend - _COUNTERS_AT
        return found

    def _names(self) -> dict[int, str]:
        """By the hash that records have for it."""
        data = self._content("__llvm_prf_names")
        names = []
        at = 0
        while at < len(data):
            if not data[at]:
                # Padding between what different objects have.
                at += 1
                continue
            plain, at = _uleb128(data, at)
            packed, at = _uleb128(data, at)
            length = packed or plain
            text = data[at : at + length]
            names += (zlib.decompress(text) if packed else text).decode().split("\x01")
            at += length
        return {_HASHES.unpack(hashlib.md5(name.encode()).digest())[0]: name for name in names}

    def _section(self, name: str) -> _Section:
        if name not in self._sections:
            raise ToolError(f"{self._path} was not built to count: it has no section {name}")
        return self._sections[name]

    def _content(self, name: str) -> bytes:
        section = self._section(name)
        return self._data[section.offset : section.offset + section.size]

    def _read_sections(self) -> tuple[dict[str, _Section], dict[str, int]]:
        (table,) = struct.unpack_from("<Q", self._data, 40)
        size, count, strings = struct.unpack_from("<HHH", self._data, 58)
        headers = [_SECTION.unpack_from(self._data, table + i * size) for i in range(count)]
        sections, indices = {}, {}
        for index, header in enumerate(headers):
            start = headers[strings][4] + header[0]
            name = self._data[start : self._data.index(b"\0", start)].decode()
            sections[name] = _Section(header[4], header[5])
            indices[name] = index
        return sections, indices


def _uleb128(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
