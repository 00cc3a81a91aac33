# SPDX-License-Identifier: GPL-2.0
"""What the user may choose, from the environment."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass

from tools.guest import memory
from tools.guest.choice import choice
from tools.guest.errors import ToolError
from tools.soak import cases


@dataclass(frozen=True)
class Settings:
    rounds: int
    seed: int
    guest_mib: int
    flavour: str
    cases: list[cases.Case]


def from_environment(rounds: int = 100, flavour: str = "plain") -> Settings:
    """The arguments are what there is unless something else is chosen."""
    flavour = os.environ.get("SOAK_FLAVOUR") or flavour
    if flavour not in cases.FLAVOURS:
        known = ", ".join(cases.FLAVOURS)
        raise ToolError(f"SOAK_FLAVOUR={flavour} is unknown: choose one of {known}")
    able = cases.work_on(flavour)
    if os.environ.get("SOAK_DRIVERS"):
        names = choice("SOAK_DRIVERS", cases.DRIVERS)
        unable = [name for name in names if name not in able]
        if unable:
            raise ToolError(f"{', '.join(unable)} needs another kernel: set SOAK_FLAVOUR=patched")
    else:
        names = tuple(able)
    return Settings(
        rounds=_number("SOAK_ROUNDS", rounds),
        seed=_number("SOAK_SEED", secrets.randbelow(1_000_000)),
        guest_mib=memory.parse_mib(os.environ.get("GUEST_MEM") or "1G"),
        flavour=flavour,
        cases=cases.choose(names, choice("SOAK_REARMING", cases.REARMING)),
    )


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or (int(text) == 0 and name == "SOAK_ROUNDS"):
        raise ToolError(f"{name}={text!r} is not a number that makes sense here")
    return int(text)
