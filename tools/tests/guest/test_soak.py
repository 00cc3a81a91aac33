# SPDX-License-Identifier: GPL-2.0
"""A short share of `make soak` and `make soak-discard`: migrations to and fro, and free memory that
is discarded, under churn, with the host meddling. Check kernel, patched QEMU."""

import pytest

from tools.guest import drivers
from tools.soak import cases, chain, discard

ROUNDS = 3
SEED = 4
# Of isolate the harder order only, to save time; `make soak` has both.
SAFE = [
    (drivers.BITMAP_DROP.name, True),
    (drivers.BITMAP_DROP.name, False),
    (drivers.HOLD.name, True),
    (drivers.HOLD.name, False),
    (drivers.ISOLATE.name, True),
]
# Rounds in which pages are lost if there is anything that loses them.
ENOUGH = 30
DISCARDS = 12
# Runs in which a report comes in time for a migration to skip something, with all that the host does
# to prevent it.
RUNS = 4


def _run(name, late, machine, logs, rounds, seed=SEED):
    case = cases.Case(cases.DRIVERS[name], late)
    outcome = chain.run(case, machine, rounds, seed, logs)
    print(outcome)
    return outcome


@pytest.mark.parametrize(
    ("name", "late"), SAFE, ids=[f"{name}-{'late' if late else 'early'}" for name, late in SAFE]
)
def test_every_page_is_right(machine, logs, name, late):
    for seed in range(SEED, SEED + RUNS):
        outcome = _run(name, late, machine, logs, ROUNDS, seed)
        assert outcome.right, outcome
        assert outcome.rounds == ROUNDS
        if not outcome.case.driver.bitmap or outcome.skipped_bytes > 0:
            return
    raise AssertionError(f"nothing was skipped in {RUNS} runs")


def test_unheld_hints_lose_pages(machine, logs):
    """The control: without it, late re-arming might be no harder than TCG's own order."""
    outcome = _run(drivers.WALK.name, True, machine, logs, ENOUGH)
    assert outcome.lost, "no page was lost: the tests above show nothing"


def test_discarded_memory_was_free(machine, logs):
    outcome = discard.run(machine, DISCARDS, SEED, logs)
    print(outcome)
    assert outcome.right, outcome
    assert outcome.rounds == DISCARDS
    assert outcome.discarded_bytes > DISCARDS * machine.memory_mib << 18
