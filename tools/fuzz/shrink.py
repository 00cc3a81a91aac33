# SPDX-License-Identifier: GPL-2.0
"""Delta debugging: leaves out of a list whatever is not needed to make it fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Budget:
    """How much may be spent on looking closer at a failure."""

    def __init__(self, replays: int, seconds: float) -> None:
        self.replays = replays
        self.used = 0
        self._end = time.monotonic() + seconds

    def left(self) -> bool:
        return self.used < self.replays and time.monotonic() < self._end

    def spend(self) -> None:
        self.used += 1


def shrink(
    items: Sequence[T],
    attempt: Callable[[Sequence[T]], Sequence[T] | None],
    may_go_on: Callable[[], bool],
) -> list[T]:
    """Returns the shortest list found that fails; `items` must.

    `attempt` returns None if a list does not fail, else as much of it as was done until it did.
    Few of many items are needed as a rule. So it looks for the longest start that can go, by
    halving, and keeps the item that cannot: a replay for each halving and each such item.
    """
    needed: list[T] = []
    rest = list(items)
    while rest:
        # So many of the rest cannot go; an empty list is not tried.
        too_many = len(rest) + bool(needed)
        while too_many > 1:
            if not may_go_on():
                return needed + rest
            fewer = too_many // 2
            done = attempt(needed + rest[fewer:])
            if done is None:
                too_many = fewer
            else:
                needed, rest = list(done[: len(needed)]), list(done[len(needed) :])
                too_many = min(too_many - fewer, len(rest) + bool(needed))
        if rest:
            needed.append(rest.pop(0))
    return needed
