# SPDX-License-Identifier: GPL-2.0
"""Runs sessions that were written down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tools.fuzz.closer_look import Finding
from tools.fuzz.failure import Make
from tools.fuzz.runner import Outcome
from tools.fuzz.sessions import Session


def replay(sessions: Sequence[Session], make: Make) -> tuple[Outcome, Finding | None]:
    """Runs sessions once, all in one guest; their steps are in its log."""
    sessions = [replace(session, trace=True) for session in sessions]
    start = time.monotonic()
    with make("replay") as executor:
        found = executor.run(sessions) or executor.find_leaks()
        outcome = Outcome(
            sessions=len(sessions),
            steps=sum(len(session.indexes) for session in sessions),
            seconds=time.monotonic() - start,
            kinds=Counter(executor.kinds()),
            failure=found,
        )
        if found is None:
            return outcome, None
        descriptions = executor.descriptions()
    again = [replace(session, trace=False) for session in sessions]
    how = "replayed"
    return outcome, Finding(found, how, again, True, descriptions, replays=1)
