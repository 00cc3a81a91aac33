# SPDX-License-Identifier: GPL-2.0
"""The fuzz runner without a guest: seeds, settings, shrinking, and what is said of a failure."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tools.fuzz import guest_log, report, settings
from tools.fuzz.__main__ import fuzz
from tools.fuzz.failure import Failure, Kind
from tools.fuzz.sessions import STEPS, Session, parse, plan, seed_of, splitmix64
from tools.fuzz.settings import Settings
from tools.fuzz.shrink import Budget, shrink
from tools.guest.errors import ToolError

RUN_SEED = 0x1234
# The session of that run that is to fail, and the steps of it that it takes.
BAD_NUMBER = 7
BAD_SEED = seed_of(RUN_SEED, BAD_NUMBER)
NEEDED = {31, 90, 164}


class Fake:
    """A guest that fails as it is told to."""

    def __init__(self, fails, log):
        self._fails = fails
        self._log = log
        self._before = []
        self._traced = None
        self._count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def done(self):
        return len(self._before)

    def run(self, sessions):
        for session in sessions:
            self._log.append(session)
            if session.trace:
                self._traced = session
            if found := self._fails(session, self._before):
                return replace(found, session=session, before=tuple(self._before), log="the log")
            self._before.append(session)
            self._count += len(session.indexes)
        return None

    def find_leaks(self):
        found = self._fails(None, self._before)
        return replace(found, before=tuple(self._before)) if found else None

    def renew(self):
        self._before = []

    def descriptions(self):
        return {index: f"does {index}" for index in self._traced.indexes} if self._traced else {}

    def kinds(self):
        return {"inflate": self._count} if self._count else {}

    def actions(self):
        return 3 * self._count

    def interrupt(self):
        pass


def rule(reason="actual is 5, not 7", step=None):
    return Failure(Kind.RULE, reason, step=step)


def needs_three(session, before):
    """Fails in the last of three steps of one session."""
    if session and session.seed == BAD_SEED and set(session.indexes) >= NEEDED:
        return rule(step=max(NEEDED))
    return None


@pytest.fixture
def run(tmp_path):
    """Runs the fuzzer on fakes; returns its exit status and all that it said."""

    def run(fails, **changes):
        run.sessions = []
        screen = io.StringIO()
        chosen = replace(Settings(steps=20 * STEPS, seed=RUN_SEED), **changes)
        status = fuzz(
            chosen,
            lambda name: Fake(fails, run.sessions),
            tmp_path,
            Console(file=screen, width=400),
        )
        return status, screen.getvalue()

    run.results = tmp_path
    return run


def environment(monkeypatch, **given):
    for name in ("STEPS", "SECONDS", "SEED", "FLAVOUR", "JOBS", "REPLAY"):
        monkeypatch.delenv(f"FUZZ_{name}", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(f"FUZZ_{name}", value)
    return settings.from_environment()


# ---- Seeds and settings --------------------------------------------------------------------------


def test_splitmix64():
    """The first numbers that the published generator gives for this seed."""
    assert [seed_of(1234567, number) for number in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64((1 << 64) - 1) < 1 << 64


def test_plan():
    found = list(plan(RUN_SEED, 3 * STEPS + 5))
    assert [session.steps for session in found] == [STEPS] * 3 + [5]
    assert len({session.seed for session in found}) == 4
    # A shorter run is the start of a longer one.
    assert list(plan(RUN_SEED, 2 * STEPS)) == found[:2]
    assert list(plan(RUN_SEED + 1, STEPS))[0] not in found


@pytest.mark.parametrize(
    "session",
    [
        Session(0),
        Session((1 << 64) - 1, 17),
        Session(5, only=(0, 3, 199), settle=False, trace=True),
        Session(6, 9, only=(8,), settle=True),
    ],
    ids=str,
)
def test_a_session_survives_being_written_down(session):
    assert parse(str(session)) == [session]
    assert parse(f"{session};{session}") == [session, session]


def test_defaults(monkeypatch):
    found = environment(monkeypatch)
    assert (found.steps, found.seconds, found.flavour, found.jobs) == (100_000, 600, "check", 1)
    assert environment(monkeypatch).seed != found.seed


@pytest.mark.parametrize(
    ("text", "seed"),
    [("7", 7), ("007", 7), ("0xFf", 255), ("18446744073709551615", (1 << 64) - 1)],
)
def test_seed(monkeypatch, text, seed):
    assert environment(monkeypatch, SEED=text).seed == seed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STEPS", "0"),
        ("STEPS", "-5"),
        ("STEPS", "1e6"),
        ("SECONDS", "ten"),
        ("JOBS", "99"),
        ("FLAVOUR", "plain"),
        ("SEED", "0x"),
        ("SEED", "18446744073709551616"),
        ("SEED", "0x10000000000000000"),
        ("REPLAY", "steps=5"),
        ("REPLAY", "seed=1 seed=2"),
        ("REPLAY", "seed=1 steps=0"),
        ("REPLAY", "seed=1 only="),
        ("REPLAY", "seed=1 only=1,x"),
        ("REPLAY", "seed=1 settle=2"),
        ("REPLAY", "seed=1 speed=2"),
        ("REPLAY", "seed=1;"),
    ],
)
def test_bad_setting(monkeypatch, name, value):
    with pytest.raises(ToolError, match=f"^FUZZ_{name}"):
        environment(monkeypatch, **{name: value})


# ---- Shrinking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("needed", [{0}, {199}, {5, 6}, {0, 100, 199}, set(range(0, 200, 20))])
def test_shrinks_to_what_is_needed(needed):
    tried = []

    def attempt(items):
        tried.append(items)
        return items if needed <= set(items) else None

    assert shrink(range(200), attempt, lambda: True) == sorted(needed)
    assert len(tried) < 200


def test_shrinking_ends_when_there_is_no_budget_left():
    budget = Budget(10, 60)

    def attempt(items):
        budget.spend()
        return items if {3, 77, 150} <= set(items) else None

    found = shrink(range(200), attempt, budget.left)
    assert budget.used == 10
    assert {3, 77, 150} < set(found) < set(range(200))
    assert not Budget(10, -1).left()


def test_what_came_after_the_failure_goes_at_once():
    attempts = []

    def attempt(items):
        attempts.append(items)
        return [item for item in items if item <= 40] if 40 in items else None

    assert shrink(range(200), attempt, lambda: True) == [40]
    first = next(number for number, items in enumerate(attempts) if 40 in items)
    assert all(max(items) <= 40 for items in attempts[first + 1 :])


# ---- Runs ----------------------------------------------------------------------------------------


def test_nothing_found(run):
    status, said = run(lambda session, before: None)
    assert status == 0
    assert "Nothing found in 20 sessions, 10,000 steps of 30,000 device actions" in said
    assert f"FUZZ_SEED={RUN_SEED:#018x}" in said
    assert re.search(r"inflate\W+10,000", said)
    kept = json.loads((run.results / report.RESULTS).read_text())
    assert (kept["sessions"], kept["steps"], kept["kinds"]) == (20, 10000, {"inflate": 10000})
    assert run.sessions == list(plan(RUN_SEED, 20 * STEPS))


def test_two_guests_share_the_sessions(run):
    status, said = run(lambda session, before: None, jobs=2)
    assert status == 0
    assert "20 sessions, 10,000 steps" in said
    assert set(run.sessions) == set(plan(RUN_SEED, 20 * STEPS))
    assert len(run.sessions) == 20


def test_time_ends_a_run(run):
    status, said = run(lambda session, before: None, seconds=0)
    assert status == 0
    assert "0 sessions" in said and "the time was over first" in said


@pytest.mark.parametrize("jobs", [1, 2])
def test_failure_is_reported_with_seed_and_shrunk_steps(run, jobs):
    status, said = run(needs_three, jobs=jobs)
    kept = (run.results / report.FAILURE).read_text()
    assert status == 1
    for text in (said, kept):
        assert "the driver broke a rule: actual is 5, not 7" in text
        assert f"FUZZ_SEED={RUN_SEED:#018x}" in text
        assert f"Session: seed={BAD_SEED:#018x} steps=500, in step 164" in text
        assert "Again: alone. Shrunk to 3 steps in 1 sessions" in text
        assert re.findall(r"^ +(\d+) does \1$", text, re.MULTILINE) == ["31", "90", "164"]
        replay = f"make fuzz FUZZ_REPLAY='seed={BAD_SEED:#018x} steps=500 only=31,90,164'"
        assert replay in text
    assert "the log" in kept
    assert json.loads((run.results / report.RESULTS).read_text())["failure"]


def test_the_replay_fails_again(run):
    _, said = run(needs_three)
    (line,) = set(re.findall(r"^Replay: .* FUZZ_REPLAY='(.*)'$", said, re.MULTILINE))
    status, said = run(needs_three, replay=tuple(parse(line)))
    assert status == 1
    assert [session.only for session in run.sessions] == [tuple(sorted(NEEDED))]
    assert "does 164" in said
    status, said = run(lambda session, before: None, replay=tuple(parse(line)))
    assert status == 0
    assert not (run.results / report.FAILURE).exists()


def test_the_flavour_is_part_of_the_replay(run):
    _, said = run(needs_three, flavour="kasan")
    assert "make fuzz FUZZ_FLAVOUR=kasan FUZZ_REPLAY='seed=" in said


def test_failure_that_does_not_happen_again(run):
    happened = []

    def once(session, before):
        if session and session.seed == BAD_SEED and not happened:
            happened.append(session)
            return rule()
        return None

    status, said = run(once)
    assert status == 1
    assert "Not reproduced alone" in said
    assert f"FUZZ_REPLAY='seed={BAD_SEED:#018x} steps=500'" in said
    tried = [session.settle for session in run.sessions if session.seed == BAD_SEED]
    assert {None, False, True} == set(tried)


def test_failure_that_needs_the_session_before(run):
    first = seed_of(RUN_SEED, BAD_NUMBER - 2)

    def fails(session, before):
        if session and session.seed == BAD_SEED and first in [other.seed for other in before]:
            return rule()
        return None

    status, said = run(fails)
    assert status == 1
    assert "Again: after the 5 sessions before it. Shrunk to 501 steps in 2 sessions" in said
    replay = f"seed={first:#018x} steps=500; seed={BAD_SEED:#018x} steps=500 only="
    assert f"FUZZ_REPLAY='{replay}" in said


def test_another_failure_does_not_count(run):
    """Steps are not left out because without them something else goes wrong."""

    def fails(session, before):
        if not session or session.seed != BAD_SEED:
            return None
        return rule() if set(session.indexes) >= NEEDED else rule("the queue is empty")

    _, said = run(fails)
    assert "only=31,90,164'" in said


def test_numbers_do_not_make_it_another_failure():
    assert rule("page 0xffff12 is 5").like(rule("page 0x7 is 1234"))
    assert not rule("page 5 is lost").like(rule("page 5 is late"))
    assert not rule().like(Failure(Kind.LOG, rule().reason))


def test_leak(run):
    """It shows at the end only, so the session has to be found, too."""

    def fails(session, before):
        lost = any(old.seed == BAD_SEED and 31 in old.indexes for old in before)
        return Failure(Kind.LEAK, "4096 KiB are free, 9000 were") if lost and not session else None

    status, said = run(fails)
    assert status == 1
    assert "memory is gone: 4096 KiB are free, 9000 were" in said
    assert "Shrunk to 1 steps in 1 sessions" in said
    assert f"FUZZ_REPLAY='seed={BAD_SEED:#018x} steps=500 only=31'" in said


# ---- The guest's log -----------------------------------------------------------------------------

LOG = """\
[    9.1] fuzz: session seed=0x0000000000000007 steps=500
[    9.2] fuzz: step 0 unplug while BUG: is said
[    9.3] fuzz: session seed=0x0000000000000008 steps=500
[    9.4] fuzz: step 0 set the target to 7 pages
[    9.5] fuzz: step 4 finish a buffer of queue 2
[    9.6] WARNING: CPU: 0 PID: 51 at mm/page_alloc.c:4711 free_pages+0x12/0x34
[    9.7] fuzz: session seed=0x0000000000000007 steps=500
[    9.8] fuzz: FAILED seed=0x0000000000000007 step=12: actual is 5, BUG: not 7
"""
LINES = LOG.splitlines()
SESSIONS = [Session(7), Session(8), replace(Session(7), settle=True)]


def test_the_session_is_the_one_before_the_problem():
    problem = guest_log.problem(LOG, [LINES[1], LINES[5], LINES[7]])
    assert problem == LINES[5]
    assert guest_log.session_at(LOG, problem, SESSIONS) == 1
    # The same seed twice.
    assert guest_log.session_at(LOG, None, SESSIONS) == 2
    assert guest_log.session_at("", None, SESSIONS) is None
    assert guest_log.without_time(problem).startswith("WARNING: CPU: 0")


def test_complaint_and_descriptions():
    found = guest_log.complaint(LOG)
    assert (found.step, found.reason) == (12, "actual is 5, BUG: not 7")
    before = "\n".join(LINES[:6])
    assert guest_log.descriptions(before) == {
        0: "set the target to 7 pages",
        4: "finish a buffer of queue 2",
    }
    assert guest_log.descriptions(LOG) == {}
    assert LINES[5] in guest_log.excerpt(LOG, LINES[5])
