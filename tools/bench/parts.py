# SPDX-License-Identifier: GPL-2.0
"""What benchmarks declare: bars that have to hold, and charts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """Something that has to hold; the numbers are medians or come from them."""

    text: str
    limit: float
    value: float
    holds: bool


def at_most(text: str, value: float, limit: float) -> Bar:
    return Bar(text, limit, value, value <= limit)


def at_least(text: str, value: float, limit: float) -> Bar:
    return Bar(text, limit, value, value >= limit)


@dataclass(frozen=True)
class Chart:
    """One metric: a group of columns for each size of the guest, a column for each subject."""

    metric: str
    title: str
    # Of the axis, as matplotlib calls it: "linear" or "log".
    scale: str = "linear"
