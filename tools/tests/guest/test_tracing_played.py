# SPDX-License-Identifier: GPL-2.0
"""The tracepoints' values that only an unusual host brings about. It is played by the driver's KUnit
cases, which check what the driver does; here is what it says of that. Check kernel.
"""

from collections import Counter
from dataclasses import replace

import pytest

from tools.guest import bitmap, drivers, ktap, paths, tracing

_FILTER = "/sys/module/kunit/parameters/filter_glob"
_RESULTS = "/sys/kernel/debug/kunit/{}/results"
_SUITES = "rust_virtio_balloon_mock_"
_DEADLINE = 120.0
ENODEV = -19
BLOCK_PAGES = 512
NUMBER_BYTES, EXTENT_BYTES = 4, 16
MS = 1_000_000
# The kinds of rings that a case goes through, if it goes through all.
RINGS = 4


@pytest.fixture(scope="module")
def guest(shared, machine, flavour):
    """Without a balloon: the one that is played is the only one."""
    return shared.start(
        replace(
            machine,
            modules={drivers.RUST_MODULE: paths.lookup(f"MODULE_{flavour.upper()}_KUNIT")},
            append=("kunit.enable=1", "kunit.autorun=1"),
            balloon=None,
            memory_mib=2048,
        )
    )


@pytest.fixture
def play(guest):
    """Runs one case, which must pass, and returns what was recorded."""

    def play(suite, case):
        guest.agent.write(_FILTER, f"{_SUITES}{suite}.{case}")
        with tracing.recording(guest) as recorded:
            guest.insmod(drivers.RUST_MODULE, deadline=_DEADLINE)
        results = guest.agent.read(_RESULTS.format(_SUITES + suite))
        (ran,) = ktap.parse(results)
        assert (ran.passed, ran.failed) == (1, []), results
        _check_requests(recorded)
        return recorded

    yield play
    guest.agent.try_run("rmmod virtio_balloon_rs")


def _check_requests(recorded):
    """Each answer that begins ends, one at a time, and its figures are those of what is in between."""
    answers = {}
    for event in recorded.events:
        name = event.name.removeprefix(f"{tracing.SYSTEM}_")
        if name == "request_begin":
            assert event["dev"] not in answers, event
            answers[event["dev"]] = (event, Counter())
        elif name in ("hint", "report"):
            begin, figures = answers[event["dev"]]
            assert event["id"] == begin["id"], event
            figures["elements"] += 1
            if name == "hint":
                figures["pages"] += event.number("pages")
            else:
                assert event["order"] == begin["order"]
                figures["pages"] += event.number("blocks") << event.number("order")
                figures["bytes"] += event.number("bytes")
        elif name == "walk_batch":
            begin, figures = answers[event["dev"]]
            assert (event["id"], event["mode"]) == (begin["id"], begin["mode"]), event
            figures["holds"] += 1
        elif name == "request_end":
            begin, figures = answers.pop(event["dev"])
            assert (event["kind"], event["id"]) == (begin["kind"], begin["id"]), event
            for what in ("elements", "pages", "bytes", "holds"):
                assert event[what] == figures[what], (what, event)
    assert answers == {}


def _outcomes(recorded, kind):
    ends = [end for end in recorded.of("request_end") if end["kind"] == kind]
    return Counter((end["id"], end["outcome"]) for end in ends)


def _moves(recorded, name):
    """Buffers for anything but the host's target."""
    return [event for event in recorded.of(name) if event["purpose"] != "target"]


def test_interrupted(play):
    """The host ends the round, is done, or asks for another one."""
    recorded = play("hint", "interrupted")
    assert _outcomes(recorded, "hint") == {(7, "interrupted"): 3 * RINGS, (9, "completed"): RINGS}
    # 0 is to stop, 1 says that it is done.
    assert {event["id"] for event in recorded.of("request_seen")} == {0, 1, 7, 9}


def test_overtaken_and_cancelled(play):
    recorded = play("bitmap", "overtaken_and_cancelled")
    assert _outcomes(recorded, "bitmap") == {
        (1, "overtaken"): RINGS,
        (2, "cancelled"): RINGS,
        (3, "completed"): RINGS,
    }
    # Asked for and, where it is still there, cancelled. What is not there has the wrong id.
    said = Counter((event["id"], event["error"]) for event in recorded.of("request_seen"))
    assert said == {
        (1, 0): RINGS,
        (1, bitmap.E_ID): RINGS,
        (2, 0): 2 * RINGS,
        (2, bitmap.E_ID): RINGS,
        (3, 0): RINGS,
    }
    told = Counter((report["id"], report["status"]) for report in recorded.of("report"))
    assert told == {(1, "more"): RINGS, (3, "done"): RINGS}


def test_refused(play):
    """Every error that there is but the kernel's, which can isolate."""
    recorded = play("bitmap", "refuses_what_is_not_in_order")
    errors = {event["error"] for event in recorded.of("request_seen")}
    assert errors == set(range(bitmap.E_ISOLATED))
    assert _outcomes(recorded, "bitmap") == {(7, "completed"): 1}
    assert {report["status"] for report in recorded.of("report")} == {"more", "done"}


def test_abandoned(play):
    """The machine sleeps in the middle."""
    recorded = play("suspend", "nothing_is_isolated_meanwhile")
    for kind, mode, order in (("bitmap", "isolate", 9), ("hint", "isolate", 9)):
        begun = [event for event in recorded.of("request_begin") if event["kind"] == kind]
        assert (begun[0]["mode"], begun[0]["order"]) == (mode, order)
        ended = Counter(outcome for _, outcome in _outcomes(recorded, kind).elements())
        assert ended["abandoned"] > 0, ended


def test_kill(play):
    """No memory is left, with a host that answers and one that takes its time."""
    recorded = play("inflate", "gives_some_back_before_a_kill")
    for event in recorded.of("inflate") + recorded.of("deflate"):
        assert event["format"] == "numbers" and event["block_pages"] == 0
        assert event["bytes"] == event.number("pages") * NUMBER_BYTES
    assert _moves(recorded, "inflate") == []
    moves = _moves(recorded, "deflate")
    assert [(event["purpose"], event["pages"]) for event in moves] == [("oom", 256)] * 2
    assert [event["wait"] for event in recorded.of("give_up")] == ["oom"]


def test_kill_with_extents(play):
    recorded = play("extents", "gives_some_back_before_a_kill")
    moves = _moves(recorded, "deflate")
    assert {(event["purpose"], event["format"]) for event in moves} == {("oom", "extents")}


def test_blocks(play):
    recorded = play("extents", "blocks_stay_whole")
    for name in ("inflate", "deflate"):
        events = recorded.of(name)
        assert sum(event.number("pages") for event in events) == 160 * BLOCK_PAGES
        for event in events:
            assert (event["purpose"], event["format"]) == ("target", "extents")
            assert event["block_pages"] == event["pages"]
            assert event.number("pages") % BLOCK_PAGES == 0
            extents, rest = divmod(event.number("bytes"), EXTENT_BYTES)
            assert rest == 0 and 1 <= extents <= event.number("pages") // BLOCK_PAGES


def test_a_part_of_a_block(play):
    """Of two blocks some pages go, one by one, and one of what remains of a block is moved."""
    recorded = play("extents", "a_part_of_a_block_leaves")
    mixed = {(event["pages"], event["block_pages"]) for event in recorded.of("deflate")}
    assert (24, 0) in mixed
    for name in ("inflate", "deflate"):
        moves = _moves(recorded, name)
        assert len(moves) == 8
        for event in moves:
            assert (event["purpose"], event["format"]) == ("move", "extents")
            assert (event["pages"], event["block_pages"]) == (1, 0)
            assert event["bytes"] == EXTENT_BYTES


def test_move_that_is_undone(play):
    recorded = play("moving", "acknowledged_too_late")
    came, went = _moves(recorded, "inflate"), _moves(recorded, "deflate")
    assert [event["purpose"] for event in came] == ["move"] * 4
    assert [event["purpose"] for event in went] == ["undo", "move"] * 2
    for event in came + went:
        assert (event["format"], event["pages"], event["bytes"]) == ("numbers", 1, NUMBER_BYTES)
    assert [event["wait"] for event in recorded.of("give_up")] == ["move"] * 2


def test_caches(play):
    """All that may be allowed, with all that may be wanted."""
    recorded = play("drop_caches", "as_far_as_it_is_allowed")
    drops = recorded.of("cache_drop")
    assert [(drop["allowed"], drop["asked"]) for drop in drops] == [
        (allowed, wanted) for allowed in range(4) for wanted in range(1, 4)
    ]
    for drop in drops:
        wanted, allowed = drop.number("asked"), drop.number("allowed")
        assert drop["dropped"] == wanted & allowed
        assert drop["result"] == ("refused" if wanted & ~allowed else "dropped")
        assert (drop.number("ns") > 0) == (wanted & allowed != 0)


def test_report_that_is_not_answered(play):
    """The device is reset while the host has blocks of a report."""
    recorded = play("reporting", "a_report_that_is_not_answered")
    reports = recorded.of("reporting")
    assert {report["error"] for report in reports} == {ENODEV}
    assert all(report.number("blocks") > 0 and report.number("ns") > 0 for report in reports)


def test_silent_host(play):
    """It does not answer any more, in each way that somebody waits for."""
    recorded = play("dead", "nobody_waits_for_long")
    waits = {event["wait"]: event for event in recorded.of("give_up")}
    assert set(waits) == {"oom", "move", "unbind"}
    assert waits["move"]["pages"] == 1
    # What is left is more than one buffer.
    assert 0 < waits["oom"].number("pages") < waits["unbind"].number("pages")
    assert all(event.number("ns") >= 900 * MS for event in waits.values()), waits
    assert waits["unbind"].number("ns") >= 2900 * MS
