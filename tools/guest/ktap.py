# SPDX-License-Identifier: GPL-2.0
"""Reads KUnit's results."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_SUITE = re.compile(r"^\s*# Subtest: (\S+)")
_CASE = re.compile(r"^\s+(not ok|ok) \d+ (\S+)(.*)")


@dataclass
class Suite:
    name: str
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)


def parse(text: str) -> list[Suite]:
    """Suites and the cases below them; the suites' own result lines are not indented."""
    suites: list[Suite] = []
    for line in text.splitlines():
        if match := _SUITE.match(line):
            suites.append(Suite(match[1]))
        elif suites and (match := _CASE.match(line)):
            if match[1] != "ok":
                suites[-1].failed.append(match[2])
            elif "# SKIP" in match[3]:
                suites[-1].skipped += 1
            else:
                suites[-1].passed += 1
    return suites


def complaints(text: str) -> str:
    """What failed, without what passed."""
    noise = re.compile(
        r"^\s*(ok |KTAP|1\.\.|# Totals|# Subtest|# \S*\.?speed:|# \S+: pass:\d+ fail:0 )"
    )
    return "\n".join(line for line in text.splitlines() if line and not noise.match(line))
