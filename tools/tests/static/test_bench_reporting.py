# SPDX-License-Identifier: GPL-2.0
"""The benchmark of free page reporting: its bar allows what is chance, and no more."""

from tools.bench.benchmarks import reporting
from tools.bench.samples import Key, Samples

MIB = 2048
METRIC = reporting.faults("4 KiB", True)


def _bars(theirs, ours):
    samples = Samples()
    for subject, values in (("c", theirs), ("rust", ours)):
        for value in values:
            samples.add(Key("reporting", MIB, subject, METRIC, "1/s"), value)
    return reporting.bars(samples.rows())


def test_within_spread():
    (bar,) = _bars([100.0, 110.0, 120.0], [88.0, 90.0, 92.0])
    assert bar.holds


def test_beyond_spread():
    (bar,) = _bars([100.0, 110.0, 120.0], [88.0, 89.0, 92.0])
    assert not bar.holds


def test_own_spread_counts_too():
    (bar,) = _bars([110.0, 110.0], [60.0, 70.0, 110.0])
    assert bar.holds


def test_no_bar_without_both():
    assert _bars([1.0], []) == []
