# SPDX-License-Identifier: GPL-2.0
"""What a host may do at any moment of a migration, at random."""

from __future__ import annotations

import random
import time
from collections import Counter

from tools.guest import bitmap, migration, stopped_thread
from tools.guest.guest import Guest

# Bytes per second until the host is in a hurry: slow enough that hints come in time.
SLOW = 48 << 20
_UNKNOWN_CACHES = 0x80


class Meddler:
    def __init__(
        self, numbers: random.Random, end_pfn: int, bitmap_offered: bool, always_late: bool
    ) -> None:
        self._numbers = numbers
        self._end_pfn = end_pfn
        self._bitmap = bitmap_offered
        self._always_late = always_late
        self._last_id = 0
        self.done: Counter[str] = Counter()

    def start(self, source: Guest, uri: str) -> None:
        """Starts the migration. The host may be slow to look at what the guest says about its free
        memory, and the guest uses some of it meanwhile."""
        late = self._numbers.random() < 0.5 or self._always_late
        pause = self._numbers.uniform(0.05, 0.6)
        if not late:
            migration.start(source, uri)
            time.sleep(pause)
            return
        self.done["late"] += 1
        # Who takes it is another thread for the bitmap than for hints.
        if self._bitmap:
            migration.start(source, uri)
            time.sleep(self._numbers.uniform(0, 0.1))
            with stopped_thread.stopped_main_loop(source):
                time.sleep(pause)
        else:
            with stopped_thread.stopped_iothread(source):
                migration.start(source, uri)
                time.sleep(pause)

    def act(self, source: Guest) -> None:
        """One more thing, after a while."""
        time.sleep(self._numbers.uniform(0, 0.15))
        # Hints cannot be asked for by anybody but a migration.
        if not self._bitmap:
            return
        acts = (self._ask, self._ask_and_drop, self._cancel, self._send_wrong, self._wait)
        act = self._numbers.choice(acts)
        act(source)
        self.done[act.__name__.strip("_")] += 1

    def _wait(self, source: Guest) -> None:
        """Lets the migration's own requests have their answers."""
        time.sleep(0.3)

    def _ask(self, source: Guest, caches: int = 0) -> None:
        """Overtakes the migration's own request."""
        start = self._numbers.randrange(self._end_pfn // 2)
        self._last_id = bitmap.fresh_id()
        request = bitmap.Request(
            self._last_id,
            order=self._numbers.choice((0, 3, 9)),
            caches=caches,
            # The host gives isolated blocks back when it has read the report.
            flags=self._numbers.choice((0, bitmap.ISOLATED)),
            start_pfn=start,
            end_pfn=self._numbers.randrange(start + 1024, self._end_pfn),
        )
        bitmap.send(source, request)

    def _ask_and_drop(self, source: Guest) -> None:
        caches = (bitmap.PAGE_CACHE, bitmap.SLAB, bitmap.ALL_CACHES)
        self._ask(source, self._numbers.choice(caches))

    def _cancel(self, source: Guest) -> None:
        bitmap.send(source, bitmap.Request(self._last_id, bitmap.CANCEL, order=0))

    def _send_wrong(self, source: Guest) -> None:
        number = self._numbers.randrange(1 << 30, 1 << 31)
        wrong = bitmap.Request(number, caches=_UNKNOWN_CACHES, end_pfn=self._end_pfn)
        bitmap.send(source, wrong)
