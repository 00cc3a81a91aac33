# SPDX-License-Identifier: GPL-2.0
"""Runs the sessions of a seed, in one guest or several, until something fails or it is enough."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from tools.fuzz.failure import Executor, Failure, Make
from tools.fuzz.sessions import Session

# A guest does so many sessions; the next one starts with an empty log and all of its memory.
GUEST_SESSIONS = 500
# Sessions are given to a guest for so many seconds at a time.
_SHARE_S = 5.0
_MOST_AT_ONCE = 50


@dataclass
class Outcome:
    sessions: int = 0
    steps: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    # What the devices did: a step may be many things.
    actions: int = 0
    failure: Failure | None = None
    # Whether it was the time that ended it.
    out_of_time: bool = False


class Run:
    """All state is under one lock; guests are not."""

    def __init__(
        self,
        sessions: Iterable[Session],
        seconds: float,
        make: Make,
        say: Callable[[str], None],
    ) -> None:
        self._left = iter(sessions)
        self._make = make
        self._say = say
        self._start = time.monotonic()
        self._end = self._start + seconds
        self._lock = threading.Lock()
        self._stopped = False
        self._places: list[Executor] = []
        self._outcome = Outcome()

    def work(self, jobs: int) -> Outcome:
        with ThreadPoolExecutor(jobs) as pool:
            workers = [pool.submit(self._work, f"guest{number}") for number in range(jobs)]
            try:
                for worker in workers:
                    worker.result()
            except BaseException:
                self._stop()
                raise
        self._outcome.seconds = time.monotonic() - self._start
        return self._outcome

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            places = list(self._places)
        for place in places:
            place.interrupt()

    def _work(self, name: str) -> None:
        with self._make(name) as place:
            with self._lock:
                self._places.append(place)
            try:
                found = self._sessions(place)
            except BaseException:
                # One that fails because of another's failure has nothing to say.
                if self._stopped:
                    return
                self._stop()
                raise
            with self._lock:
                self._outcome.kinds += Counter(place.kinds())
                self._outcome.actions += place.actions()
                first = found is not None and not self._stopped
                if first:
                    self._outcome.failure = found
            if first:
                self._stop()

    def _sessions(self, place: Executor) -> Failure | None:
        share = 1
        while batch := self._next(share):
            start = time.monotonic()
            found = place.run(batch)
            if found:
                return found
            self._count(batch)
            each = (time.monotonic() - start) / len(batch)
            share = max(1, min(_MOST_AT_ONCE, int(_SHARE_S / max(each, 0.001))))
            if place.done >= GUEST_SESSIONS:
                if found := place.find_leaks():
                    return found
                place.renew()
        return None if self._stopped else place.find_leaks()

    def _next(self, share: int) -> list[Session]:
        with self._lock:
            if self._stopped:
                return []
            late = time.monotonic() > self._end
            batch = list(islice(self._left, 1 if late else share))
            if late and batch:
                self._outcome.out_of_time = True
                return []
            return batch

    def _count(self, batch: list[Session]) -> None:
        with self._lock:
            self._outcome.sessions += len(batch)
            self._outcome.steps += sum(len(session.indexes) for session in batch)
            sessions, steps = self._outcome.sessions, self._outcome.steps
        self._say(f"{sessions:,} sessions, {steps:,} steps")
