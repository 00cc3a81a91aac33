# SPDX-License-Identifier: GPL-2.0
"""One benchmark, small: what is measured is measured, and is plausible. Patched QEMU."""

from __future__ import annotations

import pytest

from tools.bench.bench import Bench
from tools.bench.benchmarks import report
from tools.guest import drivers

MEMORY_MIB = 512


@pytest.fixture(scope="module")
def rows(flavour, tmp_path_factory):
    bench = Bench(
        rounds=1,
        sizes=(MEMORY_MIB,),
        modules=drivers.modules(flavour),
        logs=tmp_path_factory.mktemp("bench"),
        name="report",
        flavour=flavour,
    )
    report.run(bench, (drivers.C, drivers.WALK), zeroed=(False,))
    assert not bench.failures
    assert not bench.skipped
    return bench.samples.rows()


def test_both_drivers(rows):
    for name in (drivers.C.name, drivers.WALK.name):
        found = {row.metric: row.median for row in rows if row.subject == name}
        print(name, found)
        assert all(row.guest_mib == MEMORY_MIB and row.samples == 1 for row in rows)
        assert found["instructions"] > 1000
        assert 0 < found["time"] < 60_000
        assert 0 < found["notifications"] <= found["elements"] <= found["descriptors"]
        assert found["bytes in the ring"] >= 16 * found["descriptors"]
        assert 50 < found["reported share"] <= 101
        assert 0 < found["free"] < MEMORY_MIB << 8


def test_allocating_shows(rows):
    """The C driver takes all that it reports, the walk takes nothing."""
    theirs, ours = drivers.C.name, drivers.WALK.name
    assert rows.median(MEMORY_MIB, ours, "allocated") == 0
    taken = rows.median(MEMORY_MIB, theirs, "allocated")
    assert taken == 4096 * rows.median(MEMORY_MIB, theirs, "reported")
    lowest = [rows.median(MEMORY_MIB, name, "lowest free") for name in (theirs, ours)]
    assert lowest[0] < lowest[1] - taken / 2 / (1 << 20)
