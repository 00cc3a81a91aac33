# SPDX-License-Identifier: GPL-2.0
"""What the user may choose, from the environment."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass

from tools.fuzz import sessions
from tools.fuzz.sessions import Session
from tools.guest.errors import ToolError

# The guests' kernels, and by how much each is slower than the check kernel under TCG.
FLAVOURS = {"check": 1.0, "kasan": 6.0}
MAX_JOBS = 16


@dataclass(frozen=True)
class Settings:
    steps: int = 100_000
    # For the sessions; finding out about a failure comes on top.
    seconds: int = 600
    seed: int = 0
    flavour: str = "check"
    jobs: int = 1
    # Sessions to be done instead of those of the seed.
    replay: tuple[Session, ...] = ()


def from_environment() -> Settings:
    text = os.environ.get("FUZZ_SEED")
    replay = os.environ.get("FUZZ_REPLAY")
    return Settings(
        steps=_number("FUZZ_STEPS", Settings.steps),
        seconds=_number("FUZZ_SECONDS", Settings.seconds),
        seed=sessions.parse_seed(text, "FUZZ_SEED") if text else secrets.randbits(64),
        flavour=_flavour(os.environ.get("FUZZ_FLAVOUR") or Settings.flavour),
        jobs=_number("FUZZ_JOBS", Settings.jobs, MAX_JOBS),
        replay=tuple(sessions.parse(replay)) if replay else (),
    )


def _number(name: str, default: int, most: int = 1_000_000_000) -> int:
    text = os.environ.get(name) or str(default)
    if not re.fullmatch(r"\d{1,10}", text) or not 1 <= int(text) <= most:
        raise ToolError(f"{name}={text!r} is not a number from 1 to {most}")
    return int(text)


def _flavour(name: str) -> str:
    if name not in FLAVOURS:
        raise ToolError(f"FUZZ_FLAVOUR={name!r} is unknown: choose from {', '.join(FLAVOURS)}")
    return name
