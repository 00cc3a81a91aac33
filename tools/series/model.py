# SPDX-License-Identifier: GPL-2.0
"""What a patch of the series is made of.

A change to one of the kernel's own files says what it expects to find there. If it finds something
else, that is an error which names the file and the rule: nothing is left out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class SeriesError(Exception):
    """What stops the series from being made, for people to read."""


def once(path: str, rule: str, text: str, old: str, new: str) -> str:
    """`text` with `old`, which it must have once, in exchange for `new`."""
    found = text.count(old)
    if found != 1:
        raise SeriesError(f"{path}: the rule '{rule}' has to match once, and matches {found} times")
    return text.replace(old, new)


@dataclass(frozen=True)
class After:
    """Puts text behind lines that the file has."""

    path: str
    anchor: str
    text: str

    def apply(self, text: str) -> str:
        rule = f"after {self.anchor.splitlines()[-1].strip()!r}"
        return once(self.path, rule, text, self.anchor, self.anchor + self.text)


@dataclass(frozen=True)
class Replace:
    """Puts text in the place of text that the file has."""

    path: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        rule = f"replace {self.old.splitlines()[0].strip()!r}"
        return once(self.path, rule, text, self.old, self.new)


@dataclass(frozen=True)
class Cut:
    """Takes out what is from a line on, which the file has once, up to another one."""

    path: str
    first: str
    until: str

    def apply(self, text: str) -> str:
        rule = f"cut from {self.first.splitlines()[-1].strip()!r}"
        before, _, rest = once(self.path, rule, text, self.first, f"\0{self.first}").partition("\0")
        _, found, behind = rest.partition(f"\n{self.until}\n")
        if not found:
            raise SeriesError(f"{self.path}: the rule '{rule}' finds no {self.until!r} behind it")
        return f"{before}{self.until}\n{behind}"


Edit = After | Cut | Replace


@dataclass(frozen=True)
class Patch:
    """One patch. `body` says why; its lines are those of the mail."""

    subject: str
    body: str
    # A file of tools/kernel/patches, which is taken as it is.
    ready: str = ""
    # Modules of our rust/kernel that are there from here on, as "mm/zone".
    modules: tuple[str, ...] = ()
    # Other files of ours, as they are named there. A folder is all that is below it.
    files: tuple[str, ...] = ()
    # Headers of our rust/bindings/bindings_helper.h.
    headers: tuple[str, ...] = ()
    # What changes in the kernel's own files.
    edits: tuple[Edit, ...] = ()
    # Patterns for MAINTAINERS, for what the patch adds.
    owns: tuple[str, ...] = ()
    # The patch is left out as long as this file of ours is not there.
    only_with: str = ""
    # What `make check-series` builds beside what each patch may break.
    builds: tuple[str, ...] = ()


@dataclass
class State:
    """What is there after some of the patches."""

    modules: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
