# SPDX-License-Identifier: GPL-2.0
"""Finds in a guest's log what the engine and the kernel said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tools.fuzz.sessions import Session

_SESSION = re.compile(r"fuzz: session seed=(0x[0-9a-f]+)")
_STEP = re.compile(r"fuzz: step (\d+) (.*)")
_FAILED = re.compile(r"fuzz: FAILED seed=(0x[0-9a-f]+) step=(\d+): (.*)")
_TIME = re.compile(r"^(<\d+>)?\[ *\d+\.\d+\] ?(\[ *[TC]\d+\] ?)?")
# Lines of the log before and after the one that is shown as the reason.
_BEFORE = 12
_AFTER = 60


@dataclass(frozen=True)
class Complaint:
    step: int
    reason: str
    line: str


def without_time(line: str) -> str:
    return _TIME.sub("", line).strip()


def sessions_begun(text: str) -> int:
    return len(_SESSION.findall(text))


def session_at(text: str, line: str | None, sessions: Sequence[Session]) -> int | None:
    """Which of `sessions` was going on at that line, or at the end."""
    end = text.find(line) if line else -1
    begun = sessions_begun(text if end < 0 else text[:end])
    # By counting: the same seed may be there twice.
    return min(begun, len(sessions)) - 1 if begun and sessions else None


def complaint(text: str) -> Complaint | None:
    """The rule that the engine says was broken."""
    for line in text.splitlines():
        if match := _FAILED.search(line):
            return Complaint(int(match[2]), match[3].strip(), line)
    return None


def problem(text: str, problems: Sequence[str]) -> str | None:
    """The first of the kernel's problems in this part of the log; steps are no problem."""
    present = set(text.splitlines())
    for line in problems:
        if line in present and not _STEP.search(line) and not _FAILED.search(line):
            return line
    return None


def descriptions(text: str) -> dict[int, str]:
    """The steps of the last session that begun in this part of the log."""
    start = max((match.start() for match in _SESSION.finditer(text)), default=0)
    return {int(match[1]): match[2].strip() for match in _STEP.finditer(text, start)}


def last_step(text: str) -> int | None:
    return max(descriptions(text), default=None)


def excerpt(text: str, line: str | None) -> str:
    """The log around a line, or its end."""
    lines = text.splitlines()
    if line not in lines:
        return "\n".join(lines[-_BEFORE - _AFTER :])
    at = lines.index(line)
    return "\n".join(lines[max(0, at - _BEFORE) : at + _AFTER])
