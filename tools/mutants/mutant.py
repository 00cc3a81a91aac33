# SPDX-License-Identifier: GPL-2.0
"""A fault, and how it gets into a file and out again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.guest.errors import ToolError

KUNIT = "kunit"
_TESTS = "tools/tests/guest"
# What the harness says when a guest does nothing any more.
_HUNG = re.compile(r"did not [^\n]* in time|its deadline passed|the guest is gone")
# What pytest puts before an exception's own words.
_WHERE = re.compile(r'^(failed on \w+ with ")?([\w.]*(Error|Silent): )?')
_MESSAGE_LENGTH = 140


@dataclass(frozen=True)
class Mutant:
    name: str
    # From the top of the tree.
    file: str
    # What is wrong with it, for a reader who does not know the code.
    about: str
    # The text, which is there exactly once, and what takes its place.
    search: str
    replacement: str
    # What is to catch it: KUNIT, or a test below tools/tests/guest as pytest names it.
    tests: tuple[str, ...]

    def changed(self, text: str) -> str:
        """The file's text with the fault in it."""
        count = text.count(self.search)
        if count != 1:
            raise ToolError(f"{self.name}: its text occurs {count} times in {self.file}, not once")
        return text.replace(self.search, self.replacement)

    @contextmanager
    def applied(self, tree: Path) -> Iterator[None]:
        """The fault is in the file until the end of the block."""
        path = tree / self.file
        text = path.read_text()
        path.write_text(self.changed(text))
        try:
            yield
        finally:
            path.write_text(text)


def node(test: str) -> str:
    """What pytest calls a test of the list."""
    return f"{_TESTS}/test_kunit.py::test_kunit" if test == KUNIT else f"{_TESTS}/{test}"


def hung(message: str) -> bool:
    """Whether a failure is that of a guest that has ceased to answer."""
    return bool(_HUNG.search(message))


def one_line(message: str) -> str:
    """A failure in one line of bounded length."""
    lines = [" ".join(line.split()) for line in _WHERE.sub("", message).splitlines()]
    lines = [line for line in lines if line] or ["no message"]
    text = lines[0].rstrip(":")
    # Of a log that is not clean, what is in it says more than where it is.
    if text.endswith("shows a problem") and len(lines) > 1:
        text = f"in the log: {lines[1]}"
    return text if len(text) <= _MESSAGE_LENGTH else f"{text[: _MESSAGE_LENGTH - 1]}…"
