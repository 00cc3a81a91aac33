# SPDX-License-Identifier: GPL-2.0
"""A short share of `make soak`: migrations to and fro under churn, with the host meddling.
Check kernel, patched QEMU."""

import pytest

from tools.guest import drivers
from tools.soak import cases, chain

ROUNDS = 3
SEED = 4
SAFE = [drivers.BITMAP_DROP.name, drivers.HOLD.name]
# Rounds in which pages are lost if there is anything that loses them.
ENOUGH = 30


def _run(name, late, machine, logs, rounds):
    case = cases.Case(cases.DRIVERS[name], late)
    outcome = chain.run(case, machine, rounds, SEED, logs)
    print(outcome)
    return outcome


@pytest.mark.parametrize("late", [True, False], ids=["late", "early"])
@pytest.mark.parametrize("name", SAFE)
def test_every_page_is_right(machine, logs, name, late):
    outcome = _run(name, late, machine, logs, ROUNDS)
    assert outcome.right, outcome
    assert outcome.rounds == ROUNDS
    if outcome.case.driver.bitmap:
        assert outcome.skipped_bytes > 0


def test_unheld_hints_lose_pages(machine, logs):
    """The control: without it, late re-arming might be no harder than TCG's own order."""
    outcome = _run(drivers.WALK.name, True, machine, logs, ENOUGH)
    assert outcome.lost, "no page was lost: the tests above show nothing"
