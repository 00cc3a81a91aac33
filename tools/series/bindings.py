# SPDX-License-Identifier: GPL-2.0
"""Lines for the kernel's bindings_helper.h and bindgen_parameters, of our bindings_helper.h."""

from __future__ import annotations

import re

from tools.series.model import SeriesError

OURS = "rust/bindings/bindings_helper.h"
HELPER = "rust/bindings/bindings_helper.h"
PARAMETERS = "rust/bindgen_parameters"

_INCLUDE = re.compile(r"^#include <(.+)>$", re.M)
_CONSTANT = re.compile(
    r"^const (?P<type>[^=]*?)RUST_CONST_HELPER_(?P<name>\w+) = (?P<is>\w+);$", re.M
)
_LAST_CONSTANT = "const fop_flags_t RUST_CONST_HELPER_FOP_UNSIGNED_OFFSET = FOP_UNSIGNED_OFFSET;\n"
_LAST_BLOCKED = "--blocklist-item ARCH_KMALLOC_MINALIGN\n"


def headers(text: str) -> list[str]:
    """What a bindings_helper.h includes."""
    return _INCLUDE.findall(text)


def constants(ours: str, used: set[str]) -> list[tuple[str, str]]:
    """Those of our constants that are used: type, and name there."""
    found = []
    for match in _CONSTANT.finditer(ours):
        if match["name"] in used:
            found.append((match["type"], match["is"]))
    return found


def _place(lines: list[str], header: str) -> int:
    """The line before which the header goes, in a list that is more or less sorted."""
    folder = header.partition("/")[0]
    found = [
        (index, included[1])
        for index, line in enumerate(lines)
        if (included := _INCLUDE.match(line)) and "hrtimer_types" not in line
    ]
    if not found:
        raise SeriesError(f"{HELPER}: the rule 'among the #include lines' finds none")
    same = [(index, other) for index, other in found if other.split("/")[0] == folder]
    before = [index for index, other in same if other < header]
    if before:
        return before[-1] + 1
    if same:
        return same[0][0]
    before = [index for index, other in found if other < header and other[0] != "."]
    return (before[-1] if before else found[-1][0]) + 1


def add(text: str, new_headers: list[str], new_constants: list[tuple[str, str]]) -> str:
    """The kernel's bindings_helper.h with more headers and constants."""
    lines = text.splitlines()
    for header in new_headers:
        if f"#include <{header}>" in lines:
            raise SeriesError(f"{HELPER}: includes {header} already; leave it out of the table")
        lines.insert(_place(lines, header), f"#include <{header}>")
    text = "\n".join(lines) + "\n"
    if new_constants:
        if text.count(_LAST_CONSTANT) != 1:
            raise SeriesError(
                f"{HELPER}: the rule 'behind FOP_UNSIGNED_OFFSET' does not match once"
            )
        more = "".join(
            f"const {kind}RUST_CONST_HELPER_{name} = {name};\n" for kind, name in new_constants
        )
        text = text.replace(_LAST_CONSTANT, _LAST_CONSTANT + more)
    return text


def block(text: str, new_constants: list[tuple[str, str]]) -> str:
    """The kernel's bindgen_parameters, with the constants left to bindings_helper.h."""
    names = [name for _, name in new_constants if not name.startswith("__")]
    if not names:
        return text
    if text.count(_LAST_BLOCKED) != 1:
        raise SeriesError(
            f"{PARAMETERS}: the rule 'behind ARCH_KMALLOC_MINALIGN' does not match once"
        )
    more = "".join(f"--blocklist-item {name}\n" for name in names)
    return text.replace(_LAST_BLOCKED, _LAST_BLOCKED + more)
