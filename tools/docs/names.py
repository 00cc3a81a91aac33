# SPDX-License-Identifier: GPL-2.0
"""Names of files, types and functions in a page: do they exist?"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from tools.docs import blocks

# Where a short path may begin.
_BASES = ("", "drivers/virtio", "drivers/virtio/virtio_balloon", "rust/kernel", "rust", "tools")
_BASES += ("Documentation", "Documentation/development", "tools/tests/guest", "tools/tests/static")
_BASES += ("samples/rust",)
_SOURCES = ("drivers", "rust", "include", "tools", "samples")
_SUFFIXES = {".rs", ".c", ".h", ".py", ".sh"}

# Files that look like types.
_FILES = {"Makefile", "Kbuild"}

_ENDS = "rs|c|h|py|sh|rst|md|config|svg"
_PATH = re.compile(rf"(?!/|build/|\$)[\w.-]*(?:/[\w.*-]*)*(?:/|\.(?:{_ENDS}))")
_TYPE = re.compile(r"([A-Z][a-z]\w*)(?:<.*>)?(?:::(\w+)(\(\))?)?")
_FUNCTION = re.compile(r"(\w+)(\(\)|!)")


@functools.cache
def _source(tree: Path) -> str:
    found = (path for top in _SOURCES for path in sorted((tree / top).rglob("*")))
    return "\n".join(path.read_text() for path in found if path.suffix in _SUFFIXES)


@functools.cache
def _words(tree: Path) -> set[str]:
    return set(re.findall(r"\w+", _source(tree)))


@functools.cache
def _functions(tree: Path) -> set[str]:
    return set(re.findall(r"\bfn (\w+)", _source(tree)))


@functools.cache
def _types(tree: Path) -> set[str]:
    """Declared here, variants of such, or taken from the kernel crate."""
    source = _source(tree)
    declared = re.findall(r"\b(?:struct|enum|trait|type|union|class) (\w+)", source)
    listed = re.findall(r"^\s+(\w+)\b(?:[,({{ ]|, //)", source, re.MULTILINE)
    return {*declared, *listed}


def _exists(tree: Path, path: str) -> bool:
    return any(next((tree / base).glob(path.rstrip("/")), None) for base in _BASES if path)


def unknown(tree: Path, page: Path) -> Iterator[str]:
    """The literals of the page that look like a file, a type or a function, and are none."""
    for text in blocks.literals(page):
        if _PATH.fullmatch(text):
            if not _exists(tree, text):
                yield text
        elif text not in _FILES and (found := _TYPE.fullmatch(text)):
            name, member, called = found.groups()
            members = _functions(tree) if called else _words(tree)
            if name not in _types(tree) or (member and member not in members):
                yield text
        elif found := _FUNCTION.fullmatch(text):
            if found[1] not in _words(tree):
                yield text
