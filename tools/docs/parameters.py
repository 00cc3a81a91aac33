# SPDX-License-Identifier: GPL-2.0
"""What can be set and what is said: the module's parameters and messages, by its source."""

from __future__ import annotations

import re
from pathlib import Path

_PARAMETER = re.compile(r"^        (\w+): (\w+) \{\s*default: ([-\w]+),", re.MULTILINE)
_MESSAGE = re.compile(r"\b(?:pr|dev)_(?:emerg|alert|crit|err|warn|notice|info)!\(")
_C_MESSAGE = re.compile(r"\b(?:pr|dev)_(?:emerg|alert|crit|err|warn|notice|info)\(")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# A line break within a string, with the blanks of the next line.
_FOLD = re.compile(r"\\\n\s*")
# Only in the modules that tests load.
_TESTS_ONLY = re.compile(r"/(tests|mock|fuzz)(/|\.rs$)|_test\.rs$|/mock\.")


def in_source(tree: Path) -> dict[str, tuple[str, str]]:
    """The parameters: type and default."""
    text = (tree / "drivers/virtio/virtio_balloon.rs").read_text()
    return {name: (kind, default) for name, kind, default in _PARAMETER.findall(text)}


def masked(message: str) -> str:
    """A message without what is filled in."""
    return re.sub(r"\{[^}]*\}|<[^>]*>|%[a-z]", "<>", message)


def _string_after(text: str, start: int) -> str:
    found = _STRING.search(text, start)
    assert found, text[start : start + 80]
    return _FOLD.sub("", found[1]).removesuffix("\\n")


def messages(tree: Path) -> set[str]:
    """What the module may write to the log, masked; not that of its tests."""
    found = set()
    for top in ("drivers", "rust"):
        for path in sorted((tree / top).rglob("*.*")):
            if _TESTS_ONLY.search(str(path)) or path.suffix not in (".rs", ".c"):
                continue
            text = path.read_text()
            calls = _MESSAGE if path.suffix == ".rs" else _C_MESSAGE
            for call in calls.finditer(text):
                found.add(masked(_string_after(text, call.end())))
    # One that only passes on what is wrong with a parameter.
    found.remove("<>")
    policy = (tree / "drivers/virtio/virtio_balloon/policy.rs").read_text()
    display = policy[policy.index("fmt::Display for Invalid") :]
    display = display[: display.index("\n}\n")]
    calls = re.finditer(r"write!\(", display)
    return found | {masked(_string_after(display, call.end())) for call in calls}
