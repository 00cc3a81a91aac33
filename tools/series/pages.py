# SPDX-License-Identifier: GPL-2.0
"""Pages of our documentation, as they go into the kernel's."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection

_CHECK = re.compile(r"^[ \t]*\.\. check: [^\n]*\n\n", re.M)
_DOC = re.compile(r":doc:`([^`]+)`")
# What only the project has.
_OURS = re.compile(r"``(?:make setup|tools/[^`]*)``")

_NOTE = """
.. [#project] Part of the project that this driver comes from: there it is a module of its own, with
   tests in guests, tools, and patches for QEMU.
"""


def _title(text: str) -> str:
    lines = text.splitlines()
    for above, line, below in zip(lines, lines[1:], lines[2:], strict=False):
        if line and set(below) == {"="} and (not above or set(above) == {"="}):
            return line.strip()
    return ""


def convert(path: str, text: str, pages: Collection[str], title_of) -> str:
    """A page without what only our tests read; what stays behind becomes a footnote."""
    text = _CHECK.sub("", text)

    def refer(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1])) + ".rst"
        return found[0] if target in pages else f"*{_title(title_of(target))}* [#project]_"

    said = _OURS.sub(lambda found: f"{found[0]} [#project]_", _DOC.sub(refer, text))
    return said.rstrip("\n") + "\n" + (_NOTE if said != text else "")
