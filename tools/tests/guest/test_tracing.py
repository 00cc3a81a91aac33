# SPDX-License-Identifier: GPL-2.0
"""The tracepoints and what debugfs has of the last request, beside the driver's counters and what
QEMU has seen. Check kernel, patched QEMU."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from tools.guest import (
    balloon,
    bitmap,
    drivers,
    hinting,
    reporting,
    situations,
    trace,
    tracing,
)
from tools.guest.machine import Balloon

PAGE = 4096
HOUR_MS = 3_600_000
MODES = {drivers.HOLD: "hold", drivers.WALK: "walk", drivers.ISOLATE: "isolate"}


@pytest.fixture(scope="module")
def guest(shared, machine):
    device = Balloon(bitmap=True, free_page_reporting=True)
    found = shared.start(replace(machine, balloon=device, trace=reporting.TRACE))
    # Not in the middle of something else.
    reporting.set_delay(found, HOUR_MS)
    return found


@contextmanager
def _loaded(guest, parameters):
    """The driver, and what is recorded while it is loaded."""
    try:
        with tracing.recording(guest) as recorded:
            guest.insmod(drivers.RUST_MODULE, parameters)
            yield recorded
    finally:
        guest.agent.run("rmmod virtio_balloon_rs")


def _last_request(guest):
    """The host may have seen the end a moment before the driver says so."""
    hinting.wait_until(
        lambda: tracing.last_request(guest)["outcome"] != "in-progress", "the request is over"
    )
    return tracing.last_request(guest)


def _check_last_request(last, end):
    """debugfs says the same as the event at the end."""
    shown = {name: value for name, value in end.fields.items() if name != "dev"}
    assert {name: last[name] for name in shown} == shown


def _check_holds(recorded, end, counted, prefix=""):
    """The holds one by one come to what was counted."""
    batches = recorded.of("walk_batch")
    assert len(batches) == end["holds"] == counted[f"{prefix}batches"]
    assert recorded.sum("walk_batch", "entries") == counted[f"{prefix}entries"]
    holds = [batch.number("hold_ns") for batch in batches]
    assert max(holds, default=0) == end["longest_hold_ns"] == counted["longest_hold_ns"]
    for batch in batches:
        assert batch["id"] == end["id"] and batch["nid"] == 0
        assert str(batch["zone"]).startswith(("DMA", "Normal"))
        assert batch.number("entries") <= counted["batch_limit"]
        assert batch.number("pages") >= batch.number("blocks") << batch.number("order")


def test_fields(guest):
    """The kernel has the events and fields that are documented, and all fields are shown."""
    with _loaded(guest, ""):
        found = tracing.formats(guest)
        texts = {name: guest.agent.read(tracing.format_file(name)) for name in found}
    assert found == tracing.documented()
    for name, text in texts.items():
        shown = text.partition("print fmt:")[2]
        assert [word for word in found[name] if f"{word}=" not in shown] == [], name


@pytest.mark.parametrize("driver", MODES, ids=MODES.get)
def test_hinting(guest, driver):
    with _loaded(guest, driver.parameters) as recorded:
        assert tracing.last_request(guest)["outcome"] == "none"
        with hinting.round_done(guest) as traffic:
            counted = drivers.counters(guest)
            last = _last_request(guest)
            device = tracing.device(guest)
        hinting.wait_until(lambda: drivers.counters(guest)["state"] == "idle", "it is over")
    begin, end = recorded.one("request_begin"), recorded.one("request_end")
    mode = MODES[driver]
    assert begin["mode"] == mode == device["strategy"] and begin["order"] == last["order"]
    # The migration was cancelled then.
    seen = [event["id"] for event in recorded.of("request_seen") if event["id"] != 0]
    assert begin["id"] in seen and {event["error"] for event in recorded.of("request_seen")} == {0}

    assert end["outcome"] == "completed" and end["kind"] == begin["kind"] == "hint"
    _check_last_request(last, end)
    hints = recorded.of("hint")
    assert {hint["id"] for hint in hints} == {begin["id"]} == {end["id"]}
    assert len(hints) == counted["runs"] == end["elements"] == traffic.elements - traffic.ids
    assert recorded.sum("hint", "pages") == counted["pages"] == end["pages"] > 0
    assert end["bytes"] == 0
    if mode == "hold":
        assert end["blocks"] == counted["allocated_blocks"]
        assert recorded.of("walk_batch") == [] and end["holds"] == 0
    else:
        _check_holds(recorded, end, counted, "walk_")
        assert {batch["mode"] for batch in recorded.of("walk_batch")} == {mode}
        assert recorded.sum("walk_batch", "blocks") == end["blocks"]
        assert recorded.sum("walk_batch", "pages") == end["pages"]
        assert device["longest_hold_ns"] == end["longest_hold_ns"]
    assert device["state"] == "live" and "free_page_hint" in str(device["features"]).split()
    # Each buffer lies in the guest's memory, and none in another one.
    ranges = sorted((hint.number("pfn"), hint.number("pages")) for hint in hints)
    for (pfn, pages), (following, _) in zip(ranges, ranges[1:], strict=False):
        assert pfn + pages <= following
    first, last_range = ranges[0], ranges[-1]
    assert first[0] > 0 and sum(last_range) <= bitmap.memory_end(guest)


def test_bitmap(guest):
    with _loaded(guest, "free_page_bitmap=1") as recorded:
        end_pfn = bitmap.memory_end(guest)
        request = bitmap.Request(bitmap.fresh_id(), order=3, end_pfn=end_pfn)
        answers = bitmap.exchange(guest, request)
        last, counted = _last_request(guest), bitmap.counters(guest)
        (refused,) = bitmap.exchange(guest, replace(request, id=request.id + 1, order=60))
        features = str(tracing.device(guest)["features"]).split()
        hinting.wait_until(lambda: bitmap.counters(guest)["state"] == "idle", "it is over")
    seen = [(event["id"], event["error"]) for event in recorded.of("request_seen")]
    assert seen == [(request.id, 0), (request.id + 1, refused.error)]
    assert refused.error == bitmap.E_ORDER
    assert "free_page_bitmap" in features and "free_page_hint" not in features

    begin, end = recorded.one("request_begin"), recorded.one("request_end")
    assert (begin["kind"], begin["id"], begin["mode"], begin["order"]) == (
        "bitmap",
        request.id,
        "walk",
        3,
    )
    assert end["outcome"] == "completed" and end["id"] == request.id
    _check_last_request(last, end)
    _check_holds(recorded, end, counted)
    status = {bitmap.DONE: "done", bitmap.MORE: "more"}
    told = [
        (
            event["id"],
            event["status"],
            event["order"],
            event["pfn"],
            event["pages"],
            event["bits"],
            event["blocks"],
            event["bytes"],
        )
        for event in recorded.of("report")
    ]
    assert told == [
        (
            answer.id,
            status[answer.status],
            answer.order,
            answer.start_pfn,
            answer.nr_bits << answer.order,
            answer.nr_bits,
            answer.set_bits,
            answer.bitmap_bytes,
        )
        for answer in answers
    ]
    assert end["elements"] == len(answers) == counted["reports"]
    assert end["blocks"] == sum(answer.set_bits for answer in answers) == counted["blocks"]
    assert end["pages"] == end.number("blocks") << 3
    assert end["bytes"] == sum(answer.bitmap_bytes for answer in answers)


def test_cache_drop(guest):
    parameters = "free_page_bitmap=1 drop_caches=1 drop_caches_interval_s=600"
    with _loaded(guest, parameters) as recorded:
        answers = []
        for caches in (0, bitmap.SLAB, bitmap.ALL_CACHES, bitmap.PAGE_CACHE):
            request = bitmap.Request(bitmap.fresh_id(), caches=caches, end_pfn=1 << 12)
            answers += bitmap.exchange(guest, request)
        counted = bitmap.counters(guest)
    drops = recorded.of("cache_drop")
    said = [(drop["id"], drop["dropped"], drop["balloon_pages"]) for drop in drops]
    # There is none for the first request.
    assert said == [(one.id, one.caches, one.dropped_pages) for one in answers[1:]]
    assert [(drop["asked"], drop["allowed"], drop["result"]) for drop in drops] == [
        (bitmap.SLAB, bitmap.PAGE_CACHE, "refused"),
        (bitmap.ALL_CACHES, bitmap.PAGE_CACHE, "refused"),
        (bitmap.PAGE_CACHE, bitmap.PAGE_CACHE, "too-soon"),
    ]
    assert [drop["ns"] != 0 for drop in drops] == [False, True, False]
    assert counted["drops"] == 1
    assert counted["dropped_pages"] == recorded.sum("cache_drop", "balloon_pages")


def test_inflate_and_deflate(guest):
    queues = {
        "inflate": trace.QueueCounter(guest.trace_log, trace.INFLATE_QUEUE),
        "deflate": trace.QueueCounter(guest.trace_log, trace.DEFLATE_QUEUE),
    }
    before = {name: queue.read().elements for name, queue in queues.items()}
    remaining = guest.machine.memory_mib - 100
    with _loaded(guest, "") as recorded:
        balloon.inflate_to(guest, remaining)
        balloon.deflate_all(guest)
        hinting.wait_until(lambda: balloon.counters(guest)["state"] == "settled", "it settles")
        counted = balloon.counters(guest)
        assert tracing.device(guest)["format"] == "numbers"
    for name in ("inflate", "deflate"):
        events = recorded.of(name)
        assert len(events) == queues[name].read().elements - before[name] > 0
        target = [event for event in events if event["purpose"] == "target"]
        assert sum(event.number("pages") for event in target) == counted[f"{name}d"]
        for event in events:
            assert event["format"] == "numbers" and event["block_pages"] == 0
            assert event["bytes"] == event.number("pages") * 4
    assert counted["inflated"] == counted["deflated"] == 100 << 8
    sizes = [(event["num_pages"], event["actual"]) for event in recorded.of("size")]
    written = [event.value for event in guest.balloon_events() if event.kind == "config"]
    assert [actual for _, actual in sizes] == written[-len(sizes) :]
    assert (100 << 8, 100 << 8) in sizes and sizes[-1] == (0, 0)


def test_reporting(guest):
    seen = len(reporting.blocks(guest))
    reporting.set_delay(guest, 50)
    with _loaded(guest, "") as recorded:
        reporting.check_reports(guest)
        # None is under way then, and none follows.
        situations.unbind(guest, drivers.HOLD)
    reports = recorded.of("reporting")
    told = [(event["error"], event.number("ns") > 0) for event in reports]
    assert set(told) == {(0, True)}
    # The balloon was empty: all that was discarded is from reports.
    blocks = reporting.blocks(guest)[seen:]
    assert recorded.sum("reporting", "blocks") == len(blocks) > 0
    assert recorded.sum("reporting", "pages") == sum(block.size for block in blocks) // PAGE
