# SPDX-License-Identifier: GPL-2.0
"""What goes on in the guest: memory that stays, memory that comes and goes, caches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tools.guest import console, file_cache, patience
from tools.guest.agent import AgentError, AgentSilent
from tools.guest.guest import Guest

KEPT_MIB = 64
SCATTERED_MIB = 192
DISK_MIB = 64
CHUNK_KIB = 512
CHURN_KIB_PER_S = 96 * 1024
CHURN_KEEP_MS = 1500
_DEADLINE = 60.0


@dataclass
class Verdict:
    """Pages that were compared, and those that were not as they were written."""

    pages: int = 0
    wrong: int = 0
    # What the guest died of, if it did.
    broken: str = ""

    @property
    def lost(self) -> bool:
        return self.wrong > 0 or bool(self.broken)

    @property
    def right(self) -> bool:
        return self.pages > 0 and not self.lost

    def add(self, other: dict[str, int]) -> None:
        self.pages += other["pages"]
        self.wrong += other["wrong"]


def prepare(guest: Guest) -> None:
    """What stays for all rounds, and readers that fill the caches again when they were dropped."""
    agent = guest.agent
    agent.call("fill", 120, name="kept", mib=KEPT_MIB, seed=1)
    # Free memory in single pages, so that finding it all takes a while.
    agent.call("fill", 120, name="scattered", mib=SCATTERED_MIB, seed=2)
    agent.call("thin", name="scattered", block=4096)
    file_cache.keep_reading(guest)
    agent.run("(while find /sys /proc/sys; do sleep 0.5; done) > /dev/null 2>&1 &")


def start(guest: Guest, seed: int) -> None:
    """Chunks are mapped, written, kept, compared, and unmapped."""
    guest.agent.call(
        "churn-start",
        chunk_kib=CHUNK_KIB,
        kib_per_s=CHURN_KIB_PER_S,
        keep_ms=CHURN_KEEP_MS,
        seed=seed,
    )


def check(guest: Guest, verdict: Verdict) -> None:
    """Ends the chunks; what is there then is compared, and so is all that stays.

    Lost memory need not be that of the load: the agent or the guest's kernel may fail, too.
    """
    try:
        verdict.add(_answer(guest, guest.agent.post("churn-stop")))
        for name in ("kept", "scattered"):
            verdict.add(_answer(guest, guest.agent.post("verify", name=name)))
    except (AgentSilent, AgentError) as error:
        verdict.broken = str(error)
    problems = console.problems(guest.console_log)
    if problems:
        verdict.broken = problems[0].strip()


def _answer(guest: Guest, number: int) -> dict[str, Any]:
    """The answer to a request; not waited for long if the guest's log says that it is broken."""
    end = patience.until(_DEADLINE)
    while True:
        try:
            return guest.agent.answer(number, 1)
        except AgentSilent:
            if time.monotonic() > end or console.problems(guest.console_log):
                raise
