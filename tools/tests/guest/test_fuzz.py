# SPDX-License-Identifier: GPL-2.0
"""A short share of `make fuzz`: random sessions of a played device, always the same ones.
Check kernel, or kasan."""

import re
from dataclasses import replace
from itertools import islice

import pytest

from tools.fuzz import in_guest
from tools.fuzz.sessions import STEPS, Session, plan
from tools.guest import paths

SEED = 1
SESSIONS = {"check": 30, "kasan": 6}
DEADLINE = 300.0


@pytest.fixture(scope="module")
def executor(flavour):
    """One guest for all tests."""
    machine = in_guest.machine(flavour, DEADLINE)
    with in_guest.GuestExecutor(machine, paths.LOGS / "test_fuzz", "guest") as executor:
        yield executor


def _check(failure):
    assert failure is None, f"{failure.kind.value}: {failure.reason}\n{failure.log}"


@pytest.mark.kasan
def test_sessions(executor, flavour):
    sessions = list(islice(plan(SEED, 1 << 20), SESSIONS[flavour]))
    _check(executor.run(sessions))
    found = executor.result()
    kinds = executor.kinds()
    print(found, kinds)
    assert found["sessions"] == len(sessions)
    assert found["steps"] == STEPS * len(sessions) == sum(kinds.values())
    assert found["failures"] == 0
    # Not all of one kind.
    assert len(kinds) > 10
    _check(executor.find_leaks())


def test_a_seed_is_always_the_same_steps(executor):
    """Whatever was before it, and however many of its steps are done."""
    session = Session(SEED, trace=True)
    _check(executor.run([session]))
    steps = executor.descriptions()
    assert sorted(steps) == list(range(STEPS))
    _check(executor.run([Session(SEED + 1), session]))
    assert executor.descriptions() == steps

    some = replace(session, only=(3, 5, 8, 150))
    _check(executor.run([some]))
    assert sorted(executor.descriptions()) == list(some.only)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "steps=5",
        "seed=1",
        "seed=x steps=5",
        "seed=1 steps=",
        "seed=1 steps=-1",
        "seed=0x10000000000000000 steps=5",
        "seed=1 steps=5 only=x",
        "seed=1 steps=5 settle=2",
        "seed=1 steps=5 colour=red",
    ],
)
def test_bad_words_are_refused(executor, line):
    before = executor.result()
    code, said = executor.write(line)
    assert code and re.search("Invalid argument", said), said
    assert executor.result() == before
