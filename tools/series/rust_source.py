# SPDX-License-Identifier: GPL-2.0
"""Rust files of ours, as they read when our crate is part of the kernel's."""

from __future__ import annotations

import re
from collections.abc import Callable

from tools.series.model import SeriesError

# Helpers whose name without the prefix is taken, or says too little.
HELPER_NAMES = {
    "drop_caches": "drop_caches_and_log",
    "node_data": "numa_node_data",
    "page_poisoning_enabled": "page_poisoning_enabled_static",
    "page_reporting_order": "read_page_reporting_order",
}

# What Kbuild makes up, and what it is called in Kconfig.
CONFIG_NAMES = {
    "CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST": "CONFIG_RUST_BALLOON_KUNIT_TEST",
    "CONFIG_BALLOON_ISOLATION": "CONFIG_RUST_BALLOON_ABSTRACTIONS",
    "CONFIG_DROP_CACHES_EXPORTED": "CONFIG_SYSCTL",
}

FACADE_LINE = "extern crate kernel_next as kernel;\n\n"

_HELPER = re.compile(r"\bbindings::next_(\w+)")
_CONSTANT = re.compile(r"\bbindings::NEXT_(\w+)")
# What must not be there any more.
_LEFT = re.compile(r"kernel_next|KERNEL_NEXT|\bbindings::(?:next|NEXT)_|\btools/(?:kernel|qemu)")

_MOD = re.compile(r"(?P<attrs>(?:#\[[^\n]*\]\n)*)(?P<vis>pub(?:\([^)]*\))? )?mod (?P<name>\w+);\n")
_USE = re.compile(r"pub use self::(?P<name>\w+)::[^;]*;\n")


def helper_name(name: str) -> str:
    """A helper's name there, of that behind our prefix."""
    return HELPER_NAMES.get(name, name)


def configs(text: str) -> str:
    """The text with the names of Kconfig."""
    for ours, theirs in CONFIG_NAMES.items():
        text = text.replace(ours, theirs)
    return text


def used(text: str) -> set[str]:
    """What the text takes from the bindings; helpers and constants with our prefix."""
    return set(re.findall(r"\bbindings::(\w+)", text))


def convert(path: str, text: str) -> str:
    """A file of ours as it is to read there."""
    text = text.replace(FACADE_LINE, "")
    text = configs(text)
    text = _HELPER.sub(lambda found: f"bindings::{helper_name(found[1])}", text)
    text = _CONSTANT.sub(r"bindings::\1", text)
    for line in text.splitlines():
        if _LEFT.search(line):
            raise SeriesError(f"{path}: no rule knows what becomes of {line.strip()!r}")
    return text


def without(path: str, text: str, name: str) -> str:
    """The text without a function, or all of this name, and what is said of it."""
    function = re.compile(
        r"\n?(?:^ +(?:///|#\[).*\n)*"
        rf"^(?P<indent> *)(?:pub(?:\([^)]*\))? )?(?:unsafe )?fn {name}\b"
        r"(?:.*\{\}\n|(?:.*\n)*?(?P=indent)\}\n)",
        re.M,
    )
    text, times = function.subn("", text)
    if not times:
        raise SeriesError(f"{path}: the rule 'fn {name} comes later' does not match")
    return text


def gated(attribute: str, declaration: str) -> str:
    """The declaration, only compiled with a symbol of Kconfig."""
    return f"#[cfg({attribute})]\n{declaration}" if attribute else declaration


def present(
    text: str, folder: str, is_there: Callable[[str], bool], gate: Callable[[str], str]
) -> str:
    """The text without its modules that are not there yet, and each of them with its gate."""

    def keep(found: re.Match[str]) -> str:
        module = f"{folder}{found['name']}"
        return gated(gate(module), found[0]) if is_there(module) else ""

    return _USE.sub(keep, _MOD.sub(keep, text))


def modules(text: str) -> list[tuple[str, str]]:
    """The modules that a file declares: name, and the declaration with its attributes."""
    return [(found["name"], found[0]) for found in _MOD.finditer(text)]
