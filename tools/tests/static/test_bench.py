# SPDX-License-Identifier: GPL-2.0
"""The benchmarks' framework, and the bars, on made-up numbers: no guest runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from tools.bench import charts, ring, settings, table
from tools.bench.bench import Bench, Missing
from tools.bench.benchmarks import fragmented, lock, report
from tools.bench.parts import Chart, at_least, at_most
from tools.bench.report import Report
from tools.bench.samples import Key, Rows, Samples
from tools.bench.suite import BENCHMARKS
from tools.guest.errors import ToolError

GIB = 1024


def _rows(values: dict[tuple[int, str, str], list[float]]) -> Rows:
    """Rows of (size, subject, metric)."""
    samples = Samples()
    for (mib, subject, metric), found in values.items():
        for value in found:
            samples.add(Key("made-up", mib, subject, metric, "ms"), value)
    return samples.rows()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(2, None, {}, tmp_path, "made-up", speak=lambda text: None)


def test_medians():
    rows = _rows({(1024, "c", "time"): [5, 1, 9], (1024, "walk", "time"): [4, 2]})
    odd, even = rows
    assert (odd.median, odd.min, odd.max, odd.samples) == (5, 1, 9, 3)
    assert (even.median, even.samples) == (3, 2)
    assert set(odd.as_dict()) == {
        "name", "guest_mib", "subject", "metric", "unit", "median", "min", "max", "samples",
    }  # fmt: skip
    assert rows.median(1024, "hold", "time") is None


def test_failed_attempt(bench):
    """It leaves no sample, and what comes after it goes on."""
    for value, error in ((1.0, None), (1000.0, ToolError("the guest is gone"))):
        with bench.attempt(1024, "c"):
            bench.record(1024, "c", "time", "ms", value)
            if error:
                raise error
    (row,) = bench.samples.rows()
    assert (row.median, row.samples) == (1, 1)
    assert bench.failures == [Missing("made-up", 1024, "c", "the guest is gone")]


def test_other_errors_are_not_caught(bench):
    with pytest.raises(ZeroDivisionError), bench.attempt(1024, "c"):
        bench.record(1024, "c", "time", "ms", 1 / 0)
    assert not bench.failures


def test_skipped_once(bench):
    for _ in range(bench.rounds):
        bench.skip(1024, "isolate", "no patched kernel")
    assert len(bench.skipped) == 1


def _choose(monkeypatch, **values: str) -> settings.Settings:
    for name in ("BENCH", "BENCH_ROUNDS", "BENCH_MEM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return settings.from_environment(("report", "lock"))


def test_choice(monkeypatch):
    assert _choose(monkeypatch) == settings.Settings(("report", "lock"), 3, None)
    chosen = _choose(monkeypatch, BENCH="lock", BENCH_ROUNDS="5", BENCH_MEM="8G,2048")
    assert chosen == settings.Settings(("lock",), 5, (2048, 8192))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("BENCH", "report,speed", "speed is unknown: choose from report, lock"),
        ("BENCH_ROUNDS", "0", "use 1 or more"),
        ("BENCH_ROUNDS", "many", "use 1 or more"),
        ("BENCH_MEM", "2G,big", "BENCH_MEM=4G"),
        ("BENCH_MEM", "64M", "use at least"),
    ],
)
def test_wrong_choice(monkeypatch, name, value, says):
    with pytest.raises(ToolError, match=says):
        _choose(monkeypatch, **{name: value})


def test_unknown_benchmark_from_make(run, value):
    """Before anything is built or started."""
    result = run(value("PYTHON"), "-m", "tools.bench", BENCH="speed")
    assert result.returncode == 2
    assert result.stderr.startswith("bench: BENCH: speed is unknown: choose from report")


def _report(path: Path, command: str) -> Report:
    return Report(path, {"cpu": "made up"}, command)


def test_report_keeps_the_others(tmp_path):
    path = tmp_path / "results" / "bench.json"
    first, second = _rows({(1, "c", "time"): [1]}), _rows({(1, "c", "time"): [2]})
    bar, missing = at_most("it is short", 1, 2), Missing("made-up", 1, "isolate", "no kernel")
    _report(path, "make bench").put("made-up", first, [bar], [missing], [], {"date": "monday"})
    # Another run, of another benchmark, and then of the first one again.
    later = _report(path, "make bench BENCH=other")
    later.put("other", Rows(), [], [], [missing], {"date": "tuesday"})
    found = json.loads(path.read_text())
    assert [row["median"] for row in found["benchmarks"]] == [1]
    assert [run["date"] for run in found["runs"]] == ["monday", "tuesday"]
    assert (found["command"], found["host"]["cpu"]) == ("make bench BENCH=other", "made up")

    _report(path, "make bench BENCH=made-up").put("made-up", second, [], [], [], {"date": "friday"})
    found = json.loads(path.read_text())
    assert [row["median"] for row in found["benchmarks"]] == [2]
    assert (found["bars"], found["skipped"]) == ([], [])
    assert [run["date"] for run in found["runs"]] == ["tuesday", "friday"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"bars": [{}]}', '{"bars": 1}'])
def test_report_of_something_else(tmp_path, text):
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(ToolError, match="remove it"):
        _report(path, "make bench")
    assert path.read_text() == text


def test_table(capsys):
    """What was not measured is there, with its reason."""
    rows = _rows({(2048, "c", "time [?]"): [1, 3], (2048, "walk", "time [?]"): [0]})
    screen = Console(width=200)
    table.show("made up", rows, [Missing("made-up", 2048, "isolate", "no [kernel]")], screen)
    table.show_failures([Missing("made-up", 1024, "hold", "gone")], screen)
    table.show_bars([at_least("a", 1, 2), at_least("b", 2, 2)], screen)
    text = capsys.readouterr().out
    for part in ("2 (1 - 3)", "time [?] [ms]", "isolate: no [kernel]", "1 GiB, hold: gone"):
        assert part in text
    assert "DOES NOT HOLD  a: 1, limit 2" in text
    assert "holds          b: 2, limit 2" in text


def test_chart(tmp_path):
    rows = _rows({(2048, "c", "time"): [1, 3], (8192, "walk", "time"): [0]})
    path = tmp_path / "results" / "made-up.png"
    wanted = [Chart("time", "Time", "log"), Chart("space", "Space")]
    assert charts.draw("made up", wanted, rows, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert not charts.draw("made up", wanted[1:], rows, tmp_path / "none.png")
    assert list(tmp_path.iterdir()) == [path.parent]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_no_bar_without_rows(name):
    assert BENCHMARKS[name].bars(Rows()) == []


def test_bars_of_report():
    metrics = ("instructions", "notifications", "elements")
    values: dict[tuple[int, str, str], list[float]] = {}
    for metric in metrics:
        values |= {
            (8 * GIB, "c", metric): [10_000],
            (8 * GIB, "rust-walk", metric): [100],
            (32 * GIB, "c", metric): [40_000],
            # More than at 8 GiB, and so fewer times.
            (32 * GIB, "rust-walk", metric): [500],
        }
    values[8 * GIB, "rust-walk", "allocated"] = [0, 0, 4096]
    values[128 * GIB, "rust-bitmap-o9", "allocated"] = [8192]
    values[128 * GIB, "rust-bitmap-o9", "reports"] = [1]
    values[128 * GIB, "rust-bitmap-o0", "reported share"] = [98.9]
    found = report.bars(_rows(values))
    for metric in metrics:
        text = f"times as many {metric} in the C driver as in rust-walk"
        base, more = (bar for bar in found if text in bar.text)
        assert (base.limit, base.value, base.holds) == (100, 100, True)
        assert (more.limit, more.value, more.holds) == (100, 80, False)
    rest = [bar for bar in found if "times as many" not in bar.text]
    # One sample is enough to have allocated something.
    assert [bar.holds for bar in rest] == [False, True, False, True, True]


def test_bars_of_fragmented():
    share = "4 KiB: reported share"
    rows = _rows({(2048, "rust-bitmap-o0", share): [99.5], (2048, "c", share): [10]})
    assert [bar.holds for bar in fragmented.bars(rows)] == [True]


@pytest.mark.parametrize(("longest", "total", "holds"), [(1, 130, True), (2, 131, False)])
def test_bars_of_lock(longest, total, holds):
    values = {}
    for state in lock.STATES:
        values |= {
            (32 * GIB, lock.DEFAULT, f"{state}: worst hold, instructions"): [longest],
            (32 * GIB, lock.SINGLE, f"{state}: worst hold, instructions"): [100],
            (32 * GIB, lock.DEFAULT, f"{state}: instructions"): [total],
            (32 * GIB, lock.SINGLE, f"{state}: instructions"): [100],
        }
    found = lock.bars(_rows(values))
    assert [bar.holds for bar in found] == [holds] * 4


_BEFORE = "7@10.000000:virtqueue_pop vq 0xq elem 0x1 in_num 9 out_num 9\n"
_HINTS = """7@20.000000:migration_bitmap_sync_end dirty_pages 5
7@20.000100:virtio_queue_notify vdev 0xd n 3 vq 0xq
7@20.000200:virtqueue_pop vq 0xq elem 0x1 in_num 0 out_num 1
7@20.000300:virtqueue_pop vq 0xother elem 0x1 in_num 7 out_num 0
7@20.000400:virtqueue_pop vq 0xq elem 0x1 in_num 1 out_num 0
7@20.000500:virtqueue_pop vq 0xq elem 0x1 in_num 1 out_num 0
7@20.002500:virtqueue_pop vq 0xq elem 0x1 in_num 0 out_num 1
"""
_BITMAP = """7@20.000000:virtio_balloon_bitmap_request id: 0x1 type: 1 caches: 0 order: 0
7@20.000000:virtqueue_pop vq 0xq elem 0x1 in_num 1 out_num 0
7@20.000100:virtio_queue_notify vdev 0xd n 3 vq 0xq
7@20.000200:virtqueue_pop vq 0xq elem 0x1 in_num 0 out_num 3
7@20.000300:virtio_balloon_bitmap_report id: 0x1 status: 1 error: 0 order: 0 nr_bits: 65 start: 0x0
7@20.000400:virtqueue_pop vq 0xq elem 0x1 in_num 0 out_num 2
7@20.001000:virtio_balloon_bitmap_report id: 0x1 status: 0 error: 0 order: 0 nr_bits: 64 start: 0x0
"""


def test_ring_of_hints(tmp_path):
    log = tmp_path / "trace.log"
    log.write_text(_BEFORE + _HINTS)
    found = ring.read(log, len(_BEFORE), bitmap=False)
    assert found.ms == pytest.approx(2.5)
    assert (found.notifications, found.elements, found.descriptors, found.ids) == (1, 4, 4, 2)
    assert found.bytes == 4 * 16 + 2 * 4
    assert found.bitmaps == ()


def test_ring_of_bitmap(tmp_path):
    log = tmp_path / "trace.log"
    log.write_text(_BEFORE + _BITMAP)
    found = ring.read(log, len(_BEFORE), bitmap=True)
    assert found.ms == pytest.approx(1.0)
    assert (found.notifications, found.elements, found.descriptors, found.ids) == (1, 3, 6, 0)
    assert (found.bitmaps, found.bits) == ((16, 8), 129)
    assert found.bytes == 6 * 16 + 2 * 32 + 24


@pytest.mark.parametrize("text", [_HINTS.rsplit("\n", 2)[0], "", _BITMAP])
def test_ring_without_an_end(tmp_path, text):
    log = tmp_path / "trace.log"
    log.write_text(text)
    with pytest.raises(ToolError, match="whole round"):
        ring.read(log, 0, bitmap=False)
