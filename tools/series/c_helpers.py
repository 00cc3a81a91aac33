# SPDX-License-Identifier: GPL-2.0
"""Our rust/helpers, as far as somebody uses them: a helper comes with its first user."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools.series import rust_source

PREFIX = "rust_helper_next_"

_INCLUDE = re.compile(r"#include [<\"][^>\"]+[>\"]\n")
_NAME = re.compile(rf"\b{PREFIX}(\w+)\(")
_OWN = (
    re.compile(r"^struct (next_\w+) \{", re.M),
    re.compile(r"^static [^=;]*?\b(next_\w+)\(", re.M),
)

# What a file has for itself: functions and data.
_STATIC = (
    re.compile(r"^static [^=;{]*?\b(\w+)\(.*(?:\n\t.*)*\n\{", re.M),
    re.compile(r"^static (?:\w+[ *]+)+(\w+)(?: =|;)", re.M),
    re.compile(r"^static DECLARE_FAULT_ATTR\((\w+)\);", re.M),
)
_HELPER = re.compile(r"^__rust_helper (?P<rest>.*(?:\n\t.*)*\n\{\n(?P<body>(?:.*\n)*?)\}\n)", re.M)


@dataclass(frozen=True)
class Chunk:
    """A function with its comment, or a block of the preprocessor."""

    text: str
    defines: frozenset[str]
    needs: frozenset[str]


def _chunks(body: str) -> list[Chunk]:
    texts: list[str] = []
    current: list[str] = []
    depth = 0
    for line in [*body.splitlines(), ""]:
        depth += bool(re.match(r"#\s*if", line)) - bool(re.match(r"#\s*endif", line))
        if not line and not depth and (not current or current[-1][0] not in " \t{"):
            if current:
                texts.append("\n".join(current) + "\n")
            current = []
        else:
            current.append(line or "\0")
    chunks = []
    for text in texts:
        text = text.replace("\0", "")
        signatures = re.findall(rf"^__rust_helper .*?{PREFIX}(\w+)\(", text, re.M)
        own = {name for pattern in _OWN for name in pattern.findall(text)}
        calls = set(_NAME.findall(text)) | set(re.findall(r"\bnext_\w+", text))
        defines = frozenset({*signatures, *own})
        chunks.append(Chunk(text, defines, frozenset(calls) - defines))
    return chunks


def split(text: str) -> tuple[str, list[Chunk]]:
    """The head of a file up to its last #include, and the rest in pieces."""
    ends = [found.end() for found in _INCLUDE.finditer(text)]
    # What is included under a condition belongs to that.
    first_if = text.find("\n#if")
    ends = [end for end in ends if first_if < 0 or end <= first_if + 1]
    end = max(ends) if ends else text.index("\n") + 1
    return text[:end], _chunks(text[end:])


def select(chunks: list[Chunk], wanted: set[str]) -> list[Chunk]:
    """Those that define what is wanted, what these need, and what defines nothing."""
    wanted = set(wanted)
    kept: list[Chunk] = []
    while True:
        now = [chunk for chunk in chunks if chunk.defines & wanted]
        wanted |= {name for chunk in now for name in chunk.needs}
        if len(now) == len(kept):
            break
        kept = now
    if not kept:
        return []
    return [chunk for chunk in chunks if chunk in kept or not chunk.defines]


def _plain(text: str) -> str:
    """With helpers that use what is static as functions: there, the others are inline ones."""
    static = {name for pattern in _STATIC for name in pattern.findall(text)}

    def change(found: re.Match[str]) -> str:
        uses = static & set(re.findall(r"\w+", found["body"]))
        return found["rest"] if uses else found[0]

    return _HELPER.sub(change, text)


def convert(text: str) -> str:
    """With the names that are to be there."""
    text = _plain(text)
    own = {name for pattern in _OWN for name in pattern.findall(text)}
    for name in sorted(own, key=len, reverse=True):
        text = re.sub(rf"\b{name}\b", name.replace("next_", "rust_", 1), text)
    text = re.sub(
        rf"{PREFIX}(\w+)", lambda found: f"rust_helper_{rust_source.helper_name(found[1])}", text
    )
    return rust_source.configs(text)


def aligned(text: str) -> str:
    """Lines that go on a parameter list, moved to stand below its first parameter again."""
    lines = text.split("\n")
    column: int | None = None
    for index, line in enumerate(lines):
        if column is not None:
            tabs, spaces = divmod(column, 8)
            lines[index] = line = "\t" * tabs + " " * spaces + line.strip()
            if ")" in line:
                column = None
        elif re.match(r"[a-z_].*\brust_helper_\w+\(", line) and line.count("(") > line.count(")"):
            column = line.index("(") + 1
    return "\n".join(lines)
