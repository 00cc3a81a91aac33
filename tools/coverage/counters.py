# SPDX-License-Identifier: GPL-2.0
"""Reads what guests counted."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from tools.coverage.module_file import ModuleFile
from tools.guest.coverage import VARIANT_BYTES
from tools.guest.errors import ToolError


def total(files: Iterable[Path], variant: int) -> list[int]:
    """The counters of one variant of the module, summed over all guests."""
    sums = [0] * (VARIANT_BYTES // 8)
    for path in files:
        data = path.read_bytes()[variant * VARIANT_BYTES : (variant + 1) * VARIANT_BYTES]
        if any(data):
            counts = struct.unpack(f"<{len(sums)}Q", data)
            sums = [old + new for old, new in zip(sums, counts, strict=True)]
    return sums


def check_room(module: ModuleFile) -> None:
    """Raises if a guest has no room for the module's counters: it would write beyond."""
    if module.counter_bytes() > VARIANT_BYTES:
        raise ToolError(
            f"VARIANT_BYTES in tools/guest/coverage.py must be {module.counter_bytes()} or more"
        )


def profile(module: ModuleFile, sums: list[int]) -> str:
    """The same in the text form of llvm-profdata."""
    lines = []
    for function in module.functions():
        first = function.offset // 8
        counts = sums[first : first + function.counters]
        lines += [function.name, str(function.hash), str(len(counts)), *map(str, counts), ""]
    return "\n".join(lines) + "\n"
