# SPDX-License-Identifier: GPL-2.0
"""After a failure: does it happen again, and what of the session does it take?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tools.fuzz.failure import Executor, Failure, Kind
from tools.fuzz.sessions import Session
from tools.fuzz.shrink import Budget, shrink

REPLAYS = 40
SECONDS = 600.0
# Sessions before the one that failed that are replayed with it, if it does not fail alone.
_COMPANY = 5

Say = Callable[[str], None]


@dataclass
class Finding:
    """What is known about a failure in the end."""

    failure: Failure
    # How it was made to happen again: `alone`...; empty if it was not.
    how: str = ""
    # The sessions that make it happen again, the last one shrunk; else those that did it once.
    sessions: list[Session] = field(default_factory=list)
    # Whether the shrunk sessions failed once more at last, in a guest of their own.
    confirmed: bool = False
    descriptions: dict[int, str] = field(default_factory=dict)
    replays: int = 0
    # Whether there was nothing left to try.
    finished: bool = True


def look_closer(
    failure: Failure, executor: Executor, say: Say, budget: Budget | None = None
) -> Finding:
    """Replays and shrinks what failed, in guests of its own."""
    budget = budget or Budget(REPLAYS, SECONDS)
    return _Look(failure, executor, say, budget).look()


class _Look:
    def __init__(self, failure: Failure, executor: Executor, say: Say, budget: Budget) -> None:
        self._failure = failure
        self._executor = executor
        self._say = say
        self._budget = budget
        self._descriptions: dict[int, str] = {}
        self._company = False

    def look(self) -> Finding:
        finding = Finding(self._failure, sessions=_all_sessions(self._failure))
        for how, sessions in self._ways():
            if not self._budget.left():
                break
            self._say(f"again, {how}")
            if again := self._fails(sessions, fresh=True):
                finding.how = how
                finding.sessions = _until(sessions, again)
                self._company = len(finding.sessions) > 1
                break
        if finding.how:
            finding.sessions = self._shrink(finding.sessions)
            finding.finished = self._budget.left()
            self._say("once more")
            finding.confirmed = self._fails(_traced(finding.sessions), fresh=True) is not None
        finding.descriptions = self._descriptions
        finding.replays = self._budget.used
        return finding

    def _ways(self) -> Iterator[tuple[str, list[Session]]]:
        session = self._failure.session
        before = list(self._failure.before)
        if session is None:
            yield f"all {len(before)} sessions", before
            return
        yield "alone", [replace(session, trace=True)]
        yield "alone", [session]
        yield "alone with settle=0", [replace(session, settle=False)]
        yield "alone with settle=1", [replace(session, settle=True)]
        if company := before[-_COMPANY:]:
            yield f"after the {len(company)} sessions before it", [*company, session]

    def _shrink(self, sessions: list[Session]) -> list[Session]:
        """First whole sessions go, then steps of the last one."""

        def some_sessions(fewer: Sequence[Session]) -> Sequence[Session] | None:
            self._say(f"{len(fewer)} sessions, {self._budget.used} replays")
            again = self._fails(fewer)
            return _until(fewer, again) if again else None

        if len(sessions) > 1:
            sessions = shrink(sessions, some_sessions, self._budget.left)
        *company, last = sessions

        def some_steps(fewer: Sequence[int]) -> Sequence[int] | None:
            self._say(f"{len(fewer)} steps, {self._budget.used} replays")
            again = self._fails([*company, replace(last, only=tuple(fewer))])
            return _steps_until(fewer, again) if again else None

        steps = _steps_until(last.indexes, self._failure)
        # What came after the step that failed is not needed; that goes without saying mostly.
        if len(steps) < len(last.indexes) and some_steps(steps) is None:
            steps = last.indexes
        steps = shrink(steps, some_steps, self._budget.left)
        only = None if tuple(steps) == last.indexes else tuple(steps)
        return [*company, replace(last, only=only or last.only, trace=False)]

    def _fails(self, sessions: Sequence[Session], fresh: bool = False) -> Failure | None:
        """Whether it happens again, in a guest that is as good as new if it is `fresh`."""
        self._budget.spend()
        leak = self._failure.kind is Kind.LEAK
        # Where sessions before it matter, those of earlier replays would.
        if fresh or leak or self._company:
            self._executor.renew()
        found = self._executor.run(sessions)
        if sessions and sessions[-1].trace:
            self._descriptions = self._executor.descriptions()
        if found is None and leak:
            found = self._executor.find_leaks()
        return found if found and found.like(self._failure) else None


def _all_sessions(failure: Failure) -> list[Session]:
    return [failure.session] if failure.session else list(failure.before)


def _traced(sessions: Sequence[Session]) -> list[Session]:
    return [*sessions[:-1], replace(sessions[-1], trace=True)]


def _until(sessions: Sequence[Session], failure: Failure) -> list[Session]:
    """Without the sessions that were not run any more."""
    if failure.session in sessions:
        return list(sessions[: list(sessions).index(failure.session) + 1])
    return list(sessions)


def _steps_until(indexes: Sequence[int], failure: Failure) -> Sequence[int]:
    if failure.step not in indexes:
        return indexes
    return [index for index in indexes if index <= failure.step]
