# SPDX-License-Identifier: GPL-2.0
"""How long to wait for a guest. A slow kernel gets longer for everything, by one factor."""

from __future__ import annotations

import time

_factor = 1.0


def set_factor(factor: float) -> None:
    """Multiplies all deadlines from now on."""
    global _factor  # noqa: PLW0603 (one process runs guests of one kernel)
    _factor = factor


def seconds(deadline: float) -> float:
    return deadline * _factor


def until(deadline: float) -> float:
    """The time on the monotonic clock at which patience ends."""
    return time.monotonic() + seconds(deadline)
