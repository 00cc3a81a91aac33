# SPDX-License-Identifier: GPL-2.0
"""What a migration costs a program in the guest that wants memory all the time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tools.guest.errors import ToolError
from tools.guest.guest import Guest

_CHUNK_KIB = 1024
# It goes up to this share of the guest's memory, down to nothing, and again.
_SHARE = 8
_WARM_UP_S = 2.0
# For some times up and down.
_WATCH_S = 8.0
# The guest is slow at first where it came to.
_AFTER_S = 3.0
_DEADLINE = 120.0
_POLL_S = 0.01


@dataclass(frozen=True)
class _Look:
    # Since it was started.
    steps: int
    time: float

    def rate_since(self, earlier: _Look) -> float:
        """Steps per second."""
        return (self.steps - earlier.steps) / (self.time - earlier.time)


class Busy:
    """Goes on during a run of the demo (demo/run.py, `Work`)."""

    def __init__(self, guest_mib: int) -> None:
        self._peak_mib = guest_mib // _SHARE
        # Steps per second before the migration, and a look right before it.
        self._rate = 0.0
        self._start = _Look(0, 0.0)

    def start(self, source: Guest) -> None:
        source.agent.call("busy-start", chunk_kib=_CHUNK_KIB, peak_mib=self._peak_mib, seed=5)
        time.sleep(_WARM_UP_S)
        first = _look(source)
        time.sleep(_WATCH_S)
        last = _look(source)
        self._rate = last.rate_since(first)
        if not self._rate:
            raise ToolError(
                f"{source.name}: a program in the guest did nothing in {_WATCH_S:.0f} s: end what"
                " else runs on this machine, and try again"
            )
        self._start = self._wait_for_start(source)

    def _wait_for_start(self, source: Guest) -> _Look:
        """Returns when the program has half of its peak, and wants more.

        A migration begins in the same state with each driver: what is free then is what hints are
        worth.
        """
        end = time.monotonic() + _DEADLINE
        while time.monotonic() < end:
            now = _look(source)
            # A step up or down for each chunk.
            if starts_here(now.steps, self._peak_mib * 1024 // _CHUNK_KIB):
                return now
            time.sleep(_POLL_S)
        raise ToolError(
            f"{source.name}: a program in the guest was never seen half on its way up: end what"
            " else runs on this machine, and try again"
        )

    def end(self, destination: Guest) -> dict[str, Any]:
        end = _look(destination)
        time.sleep(_AFTER_S)
        after = _look(destination)
        verdict = destination.agent.call("busy-stop", _DEADLINE)
        return {
            "rate_before": self._rate,
            "rate_during": end.rate_since(self._start),
            "lost_s": lost_seconds(
                self._rate, after.steps - self._start.steps, after.time - self._start.time
            ),
            "busy_pages": verdict["pages"],
            "busy_wrong": verdict["wrong"],
        }


def starts_here(steps: int, peak: int) -> bool:
    """Whether a program that goes up to `peak` chunks and down to none is a little over half of
    the way up."""
    return peak // 2 <= steps % (2 * peak) < peak // 2 + max(peak // 8, 1)


def lost_seconds(rate: float, steps: int, seconds: float) -> float:
    """How much sooner `steps` would have been done than in `seconds`, at the rate of before."""
    return seconds - steps / rate


def _look(guest: Guest) -> _Look:
    return _Look(guest.agent.call("busy-count", _DEADLINE)["steps"], time.monotonic())
