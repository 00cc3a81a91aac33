# SPDX-License-Identifier: GPL-2.0
"""What the user may choose, from the environment."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from tools.guest import memory
from tools.guest.choice import choice
from tools.guest.errors import ToolError

_ROUNDS = 3


@dataclass(frozen=True)
class Settings:
    names: tuple[str, ...]
    rounds: int
    # In MiB; None: what each benchmark has by default.
    sizes: tuple[int, ...] | None


def from_environment(known: Collection[str]) -> Settings:
    return Settings(
        names=choice("BENCH", known),
        rounds=_rounds(os.environ.get("BENCH_ROUNDS") or str(_ROUNDS)),
        sizes=_sizes(os.environ.get("BENCH_MEM", "")),
    )


def _rounds(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise ToolError(
            f"BENCH_ROUNDS={text!r} is not a number of rounds: use 1 or more, as BENCH_ROUNDS=3"
        )
    return int(text)


def _sizes(text: str) -> tuple[int, ...] | None:
    words = text.replace(",", " ").split()
    if not words:
        return None
    return tuple(sorted({memory.parse_mib(word, "BENCH_MEM") for word in words}))
