# SPDX-License-Identifier: GPL-2.0
"""What can go wrong, and what runs sessions until it does."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tools.fuzz.sessions import Session


class Kind(enum.Enum):
    RULE = "the driver broke a rule"
    LOG = "the kernel complained"
    SILENT = "the guest did not answer in time"
    GONE = "the guest is gone"
    LEAK = "memory is gone"


@dataclass(frozen=True)
class Failure:
    kind: Kind
    reason: str
    # The session in which it showed, if it is known; not for a leak, which shows at the end.
    session: Session | None = None
    # The step, by the engine's word.
    step: int | None = None
    # The sessions before it in the same guest, the last one last.
    before: tuple[Session, ...] = ()
    # The guest's log of it, and where all of it is.
    log: str = ""
    log_file: str = ""

    def like(self, other: Failure) -> bool:
        """Whether it seems to be the same bug: numbers and addresses may differ."""
        if self.kind != other.kind:
            return False
        return self.kind not in (Kind.RULE, Kind.LOG) or _words(self) == _words(other)


def _words(failure: Failure) -> str:
    return re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+", "#", failure.reason)


class Executor(Protocol):
    """Where sessions run: a guest, or what a test makes of it."""

    def __enter__(self) -> Executor: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def done(self) -> int:
        """How many sessions the guest has done that there is."""

    def run(self, sessions: Sequence[Session]) -> Failure | None:
        """Runs them one after the other, in a guest that is started if there is none.

        After a failure that has done harm to the guest, the next call starts another.
        """

    def find_leaks(self) -> Failure | None:
        """Whether memory is gone since the guest was started."""

    def renew(self) -> None:
        """Ends the guest, so that the next call starts another."""

    def descriptions(self) -> dict[int, str]:
        """The steps of the last session that was traced, as far as it came."""

    def kinds(self) -> dict[str, int]:
        """How many steps of each kind were done, in all guests."""

    def actions(self) -> int:
        """How many things the played devices did: one step may be several."""
        ...

    def interrupt(self) -> None:
        """Makes a call that is under way in another thread end soon, with any outcome."""


# Makes one whose guests and logs are called like that.
Make = Callable[[str], Executor]
