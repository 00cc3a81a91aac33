# SPDX-License-Identifier: GPL-2.0
"""The literal blocks of the documentation, and what each says of how it is checked.

A block is preceded by a comment, which the reader does not see: `.. check: KIND` in
reStructuredText, `<!-- check: KIND -->` in Markdown. What the kinds are is in
Documentation/development/testing.rst.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives, roles

_MARK = re.compile(r"check: *(.+)")
_MARKDOWN_MARK = re.compile(r"<!-- check: *(.+?) *-->")
_INDENT = "    "
# What is not a block of its own.
_FOLDED = ("toctree", "only")


@dataclass(frozen=True)
class Block:
    """A literal block."""

    file: str
    line: int
    # "" if nobody says.
    check: str
    text: str

    @property
    def kind(self) -> str:
        return self.check.split(" ")[0].rstrip(",")

    @property
    def argument(self) -> str:
        return self.check.partition(" ")[2]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class _Folded(Directive):
    """A directive of Sphinx that has nothing that is of interest here."""

    has_content = True
    optional_arguments = 1
    option_spec = {"maxdepth": directives.unchanged, "glob": directives.flag, "caption": str}

    def run(self) -> list[nodes.Node]:
        return []


def _role(name, rawtext, text, lineno, inliner, options=None, content=None):
    return [nodes.inline(rawtext, text)], []


@functools.cache
def document(path: Path) -> nodes.document:
    """A page, parsed without Sphinx: cross references are plain text."""
    for role in ("doc", "ref"):
        roles.register_local_role(role, _role)
    for name in _FOLDED:
        directives.register_directive(name, _Folded)
    settings = {"report_level": 5, "file_insertion_enabled": False, "raw_enabled": False}
    return publish_doctree(path.read_text(), str(path), settings_overrides=settings)


def _mark(block: nodes.Node) -> str:
    """The comment before it; the paragraph that introduces the block may be in between."""
    siblings = block.parent.children
    for sibling in reversed(siblings[max(0, siblings.index(block) - 2) : siblings.index(block)]):
        if isinstance(sibling, nodes.comment):
            found = _MARK.fullmatch(" ".join(sibling.astext().split()))
            return found[1] if found else ""
        if not isinstance(sibling, nodes.paragraph):
            break
    return ""


def _of_page(tree: Path, path: Path) -> Iterator[Block]:
    for block in document(path).findall(nodes.literal_block):
        # docutils knows the line of the directive, and not that of every block.
        line = next((node.line for node in (block, block.parent) if node.line), 0)
        yield Block(str(path.relative_to(tree)), line, _mark(block), block.astext())


def _of_markdown(tree: Path, path: Path) -> Iterator[Block]:
    """Indented and fenced blocks."""
    mark, lines, start, fenced, blank = "", [], 0, False, True
    for number, line in enumerate([*path.read_text().splitlines(), ""], 1):
        fence = line.startswith("```")
        indented = line.startswith(_INDENT) and (blank or bool(lines))
        if (fenced and not fence) or (not fenced and indented):
            start = start or number
            lines.append(line if fenced else line[len(_INDENT) :])
        elif not fence and lines and not line.strip():
            lines.append("")
        elif lines or (fence and fenced):
            text = "\n".join(lines).rstrip()
            yield Block(str(path.relative_to(tree)), start, mark, text)
            mark, lines, start = "", [], 0
        if fence:
            fenced = not fenced
        found = _MARKDOWN_MARK.fullmatch(line)
        mark = found[1] if found else mark
        blank = not line.strip()
    if "".join(lines).strip():
        yield Block(str(path.relative_to(tree)), start, mark, "\n".join(lines).rstrip())


def pages(tree: Path) -> list[Path]:
    """All reStructuredText."""
    return sorted((tree / "Documentation").rglob("*.rst"))


def readmes(tree: Path) -> list[Path]:
    """All Markdown."""
    return [tree / "README.md", tree / "tools/qemu/README.md"]


@functools.cache
def all_blocks(tree: Path) -> tuple[Block, ...]:
    """Every literal block there is."""
    found = [block for path in pages(tree) for block in _of_page(tree, path)]
    return (*found, *(block for path in readmes(tree) for block in _of_markdown(tree, path)))


def of_kind(tree: Path, kind: str) -> list[Block]:
    """The blocks that are checked in one way."""
    return [block for block in all_blocks(tree) if block.kind == kind]


def literals(path: Path) -> list[str]:
    """What is set as ``literal`` within text."""
    if path.suffix == ".md":
        return re.findall(r"`([^`\n]+)`", path.read_text())
    found = document(path).findall(nodes.literal)
    return [" ".join(literal.astext().split()) for literal in found]
