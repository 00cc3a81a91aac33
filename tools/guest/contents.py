# SPDX-License-Identifier: GPL-2.0
"""Live memory of a guest, every page of which is compared: some stays, some comes and goes."""

from __future__ import annotations

from tools.guest.guest import Guest

_KEPT = "kept"


def keep(guest: Guest, mib: int = 32) -> None:
    """Fills memory that stays allocated until `check_kept()`."""
    guest.agent.call("fill", 120, name=_KEPT, mib=mib, seed=31)


def check_kept(guest: Guest) -> None:
    """Compares every page of it, and frees it."""
    verdict = guest.agent.call("verify", 120, name=_KEPT)
    assert verdict["pages"] > 0 and verdict["wrong"] == 0, f"{guest.name}: kept: {verdict}"
    guest.agent.call("drop", name=_KEPT)


def churn(guest: Guest, mib_per_s: int = 16, keep_ms: int = 1000) -> None:
    """Maps, fills, compares and unmaps all the time, until `check_churn()`.

    At most `mib_per_s` x `keep_ms` are allocated at once; less on a slow machine.
    """
    guest.agent.call(
        "churn-start", chunk_kib=512, kib_per_s=mib_per_s * 1024, keep_ms=keep_ms, seed=32
    )


def check_churn(guest: Guest) -> None:
    verdict = guest.agent.call("churn-stop", 120)
    assert verdict["pages"] > 0 and verdict["wrong"] == 0, f"{guest.name}: churn: {verdict}"
