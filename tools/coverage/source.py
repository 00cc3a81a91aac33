# SPDX-License-Identifier: GPL-2.0
"""Which of our lines are part of what is measured: the module's, without its tests."""

from __future__ import annotations

import re
from pathlib import Path

from tools.guest.paths import ROOT

_MEASURED = ("drivers/", "rust/kernel/")
# A file or a folder of such a name.
_TEST_FILE = re.compile(r"/(mock\w*|fuzz\w*|testing|tests|\w+_tests?)(\.rs$|/)")
_TEST_ONLY = re.compile(r"^( *)#\[cfg\((?!not\()[^\]]*KUNIT_TEST\b.*\)\]$")
_MODULE = re.compile(r"^ *(?:pub(?:\([^)]*\))? )?mod (\w+);$")


def name(path: Path) -> str | None:
    """The file's name in the repository, if it is measured."""
    # An object refers to a source by whatever name the compiler was given.
    try:
        found = str(path.resolve().relative_to(ROOT))
    except ValueError:
        return None
    if not found.startswith(_MEASURED) or _TEST_FILE.search(found):
        return None
    return found


def test_files() -> set[str]:
    """Files that are modules only of the variant with KUnit, whatever they are called."""
    found: set[str] = set()
    for file in (path for top in _MEASURED for path in (ROOT / top).rglob("*.rs")):
        lines = file.read_text().splitlines()
        for number in test_lines(lines):
            if match := _MODULE.match(lines[number - 1]):
                found |= _module_files(file, match[1])
    return found


def _module_files(parent: Path, module: str) -> set[str]:
    """The files of a module that `parent` declares, and of those in it."""
    found: set[Path] = set()
    # A crate's root has its modules beside it or in a folder of its name, others in such a folder.
    for folder in (parent.parent, parent.with_suffix("")):
        found.update(folder.glob(f"{module}.rs"))
        found.update(folder.glob(f"{module}/**/*.rs"))
    return {str(path.relative_to(ROOT)) for path in found}


def test_lines(lines: list[str]) -> set[int]:
    """The numbers of the lines that only the variant with KUnit has.

    rustfmt has formatted them, so an item ends at the first line that is indented as it is and
    closes it.
    """
    found: set[int] = set()
    indent: str | None = None
    for number, line in enumerate(lines, 1):
        if indent is None:
            match = _TEST_ONLY.match(line)
            if not match:
                continue
            indent = match[1]
            found.add(number)
            continue
        found.add(number)
        text = line[len(indent) :]
        if not line.startswith(indent) or text.startswith((" ", "#[", "//")):
            continue
        if text.startswith("}") or text.rstrip().endswith((";", ",", "{}", "}")):
            indent = None
    return found
