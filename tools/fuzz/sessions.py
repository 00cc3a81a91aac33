# SPDX-License-Identifier: GPL-2.0
"""Sessions of the fuzzer: what is derived from a seed, and how one is written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tools.guest.errors import ToolError

STEPS = 500
MAX_SEED = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_WORDS = ("seed", "steps", "only", "settle", "trace")


def parse_seed(text: str, name: str) -> int:
    """A number of 64 bits, decimal or with 0x in front."""
    # Not int(text, 0): that refuses 007 and takes 0b1.
    match = re.fullmatch(r"0[xX]([0-9a-fA-F]{1,16})|(\d{1,20})", text.strip())
    value = (int(match[1], 16) if match[1] else int(match[2])) if match else MAX_SEED + 1
    if value > MAX_SEED:
        raise ToolError(f"{name}={text!r} is not a number of 64 bits, decimal or with 0x in front")
    return value


def splitmix64(state: int) -> int:
    """What the generator of that name returns in this state; the next is `state + _GOLDEN`."""
    mixed = (state + _GOLDEN) & MAX_SEED
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MAX_SEED
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MAX_SEED
    return mixed ^ (mixed >> 31)


def seed_of(run_seed: int, number: int) -> int:
    """The seed of a run's session, without those before it."""
    return splitmix64((run_seed + number * _GOLDEN) & MAX_SEED)


@dataclass(frozen=True)
class Session:
    seed: int
    steps: int = STEPS
    # The numbers of the only steps that are done; None: all.
    only: tuple[int, ...] | None = None
    # Whether the driver may end what it does after each step; None: as the engine likes.
    settle: bool | None = None
    # Whether each step is described in the guest's log.
    trace: bool = False

    def __str__(self) -> str:
        """As the engine takes it, in one line."""
        words = [f"seed={self.seed:#018x}", f"steps={self.steps}"]
        if self.only is not None:
            words.append("only=" + ",".join(str(index) for index in self.only))
        if self.settle is not None:
            words.append(f"settle={int(self.settle)}")
        if self.trace:
            words.append("trace=1")
        return " ".join(words)

    @property
    def indexes(self) -> tuple[int, ...]:
        """The numbers of the steps that it does."""
        return tuple(range(self.steps)) if self.only is None else self.only


def plan(run_seed: int, steps: int) -> Iterator[Session]:
    """The sessions of a run; the last one is shorter."""
    for number, start in enumerate(range(0, steps, STEPS)):
        yield Session(seed_of(run_seed, number), min(STEPS, steps - start))


def parse(text: str, name: str = "FUZZ_REPLAY") -> list[Session]:
    """Sessions as they were written down, with `;` in between."""
    return [_parse_one(part, name) for part in text.split(";")]


def _parse_one(text: str, name: str) -> Session:
    given = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if not equals or key not in _WORDS or key in given:
            known = ", ".join(f"{known}=" for known in _WORDS)
            raise ToolError(f"{name}: {word!r} is not one of {known}, each of which may be once")
        given[key] = value
    if "seed" not in given:
        raise ToolError(f"{name}: a session without seed=: {text.strip()!r}")
    steps = _number(given.get("steps", str(STEPS)), "steps", name)
    if not steps:
        raise ToolError(f"{name}: steps=0 does nothing")
    only = given["only"].split(",") if "only" in given else None
    return Session(
        seed=parse_seed(given["seed"], f"{name}: seed"),
        steps=steps,
        only=tuple(_number(word, "only", name) for word in only) if only else None,
        settle=_switch(given["settle"], "settle", name) if "settle" in given else None,
        trace=_switch(given.get("trace", "0"), "trace", name),
    )


def _number(text: str, key: str, name: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ToolError(f"{name}: {text!r} in {key}= is not a number that makes sense here")
    return int(text)


def _switch(text: str, key: str, name: str) -> bool:
    if text not in ("0", "1"):
        raise ToolError(f"{name}: {key}={text!r} is neither 0 nor 1")
    return text == "1"
