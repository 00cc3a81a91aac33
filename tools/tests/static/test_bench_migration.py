# SPDX-License-Identifier: GPL-2.0
"""The benchmark of migrations: which runs count, and its bars."""

import pytest

from tools.bench import busy
from tools.bench.benchmarks import migration
from tools.bench.samples import Key, Samples
from tools.guest.errors import ToolError

MIB = 8192


def _found(**changes):
    right = {"verified": True, "pages_verified": 10, "pages_wrong": 0}
    return {**right, "busy_pages": 5, "busy_wrong": 0, **changes}


def test_verified_run_counts():
    migration.check(_found(), busy=True)
    migration.check({"verified": True, "pages_verified": 10, "pages_wrong": 0}, busy=False)


@pytest.mark.parametrize(
    "changes",
    [{"verified": False, "pages_wrong": 3}, {"busy_wrong": 1}, {"busy_pages": 0}],
    ids=["wrong", "busy wrong", "busy compared nothing"],
)
def test_unverified_run_does_not_count(changes):
    with pytest.raises(ToolError, match="no figure"):
        migration.check(_found(**changes), busy=True)


def test_a_busy_migration_starts_half_way_up():
    # Up to 16 chunks, and down again.
    starts = [steps for steps in range(64) if busy.starts_here(steps, peak=16)]
    assert starts == [8, 9, 40, 41]


def test_lost_seconds():
    assert busy.lost_seconds(rate=100.0, steps=1000, seconds=10.0) == 0
    assert busy.lost_seconds(rate=100.0, steps=700, seconds=10.0) == pytest.approx(3.0)


def _rows(sent, mib=MIB, not_free=300.0):
    """Rows from {(scenario, subject): MB}."""
    samples = Samples()
    for (scenario, subject), value in sent.items():
        for what, number in (("sent", value), ("not free", not_free)):
            key = Key("migration", mib, subject, f"{scenario}: {what}", "MB")
            samples.add(key, number)
    return samples.rows()


def test_dirty_then_free_bars():
    sent = {
        ("dirty-then-free", "none"): 6000.0,
        ("dirty-then-free", "c"): 300.0,
        ("dirty-then-free", "rust-walk"): 300.0,
    }
    found = migration.bars(_rows(sent))
    assert len(found) == 3
    assert all(bar.holds for bar in found)
    # More than was not free, more than the C driver's and its spread, less than 20 times fewer.
    worse = migration.bars(_rows({**sent, ("dirty-then-free", "rust-walk"): 310.0}))
    assert len(worse) == 3
    assert not any(bar.holds for bar in worse)


def test_times_fewer_only_for_large_guests():
    sent = {("dirty-then-free", "none"): 1000.0, ("dirty-then-free", "rust-walk"): 200.0}
    assert len(migration.bars(_rows(sent, mib=2048))) == 1
    assert len(migration.bars(_rows(sent, mib=8192))) == 2


@pytest.mark.parametrize(
    ("scenario", "subject", "share"),
    [("fragmented", "rust-hold", 0.55), ("fragmented-4k", "rust-bitmap-o0", 0.6)],
)
def test_fragmented_bars(scenario, subject, share):
    def bars(ours):
        return migration.bars(_rows({(scenario, "c"): 1000.0, (scenario, subject): ours}))

    good, bad = bars(share * 1000), bars(share * 1000 + 1)
    assert len(good) == len(bad) == 2
    assert all(bar.holds for bar in good)
    assert [bar.holds for bar in bad].count(False) == 1


def test_no_bar_without_measurement():
    assert migration.bars(_rows({})) == []
    assert migration.bars(_rows({("idle", "c"): 1.0, ("idle", "none"): 1.0})) == []


def test_scenarios_have_distinct_names_and_known_subjects():
    names = [scenario.name for scenario in migration.SCENARIOS]
    assert len(set(names)) == len(names)
