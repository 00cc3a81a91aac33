# SPDX-License-Identifier: GPL-2.0
"""The picture of free memory: what it is read from, and what is in it."""

import sys

import pytest
from matplotlib import image

from tools.guest.errors import ToolError
from tools.memory_map import cells, dump, picture

PAGE = 4096
HUGE = 512
HEADING = "free-blocks 1 page_size=4096 order=0 max_order=10"
ZONES = (
    "zone node=0 name=DMA start=1 end=4096 present=3998",
    "zone node=0 name=DMA32 start=4096 end=262144 present=258048",
)


def _text(*blocks, heading=HEADING, zones=ZONES):
    """All blocks are in the last zone."""
    lines = [f"{start} {order}" for start, order in blocks]
    end = f"end zones={len(zones)} blocks={len(lines)}"
    return "\n".join((heading, *zones, *lines, end)) + "\n"


GOOD = _text((4096, 10), (8192, 0))


def test_all_of_it_is_read():
    found = dump.parse(GOOD, "x")
    assert (found.page_size, found.order, found.max_order) == (PAGE, 0, 10)
    assert [(zone.node, zone.name, zone.start, zone.end, zone.present) for zone in found.zones] == [
        (0, "DMA", 1, 4096, 3998),
        (0, "DMA32", 4096, 262144, 258048),
    ]
    blocks = dump.Block(4096, 10), dump.Block(8192, 0)
    assert [zone.blocks for zone in found.zones] == [(), blocks]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 0, "it is empty"),
        ("hello\n", 1, "does not begin with"),
        (GOOD.replace("free-blocks 1", "free-blocks 2"), 1, "format 2, this tool knows 1"),
        (GOOD.replace("page_size=4096", "page_size=0"), 1, "no sizes"),
        (GOOD.replace("order=0", "order=11", 1), 1, "no sizes"),
        (GOOD.replace("present=3998", "present=4096"), 2, "cannot have so many pages"),
        (GOOD.replace(ZONES[1], ZONES[0]), 3, "was there already"),
        (_text((4096, 11)), 4, "order is not from 0 to 10"),
        (_text((4097, 1)), 4, "no block of this order begins there"),
        (_text((261632, 10)), 4, "no block of this order begins there"),
        (_text((262144, 0)), 4, "not in its zone"),
        (_text((1, 0)), 4, "not in its zone"),
        (_text((1, 0), zones=()), 2, "before the first zone"),
        (_text(zones=()), 2, "no zones"),
        (GOOD.replace("8192 0", "8192"), 5, "no line of such a file"),
        (GOOD.replace("4096 10\n", ""), 5, "lines are missing: there are 2 zones and 1 blocks"),
        (GOOD.replace("end ", "# end "), 6, "no line of such a file"),
        (GOOD[: GOOD.index("\nend")], 5, "cut off"),
        (GOOD + GOOD, 7, "goes on after its end"),
    ],
)
def test_a_bad_file_is_refused(text, line, why):
    with pytest.raises(ToolError) as error:
        dump.parse(text, "a file")
    assert f"a file, line {line}: " in str(error.value)
    assert why in str(error.value)


def _cells(text, cell=16):
    found = dump.parse(text, "x")
    zone = found.zones[-1]
    place = cells.places([found])[zone.key]
    return cells.make(zone, place, cell, cells.large_order(PAGE, 10))


def test_shares_of_cells():
    """A large block fills cells, small ones parts of one."""
    found = _cells(_text((4096, 9), (4096 + HUGE, 3), (4096 + HUGE + 8, 2), (262143, 0)))
    assert list(found.large[:33]) == [1] * 32 + [0]
    assert list(found.small[:34]) == [0] * 32 + [12 / 16, 0]
    assert found.small[-1] == 1 / 16
    assert (found.large_pages, found.small_pages) == (HUGE, 13)


def test_what_is_listed_twice_counts_once():
    once = _cells(_text((4096, 9)))
    twice = _cells(_text((4096 + 256, 8), (4096, 9), (4096, 9), (4096, 0)))
    assert twice.free_pages == once.free_pages == HUGE
    assert (twice.large == once.large).all()
    assert not twice.small.any()


def test_cells_of_a_zone_that_begins_in_one():
    text = _text((16, 4), zones=(ZONES[0],))
    found = _cells(text)
    assert list(found.small[:3]) == [0, 1, 0]
    assert len(found.small) == 4096 // 16


@pytest.mark.parametrize("pages", [1, 100, 16384, 16385, 1 << 28, 1 << 50])
def test_the_number_of_cells_is_bounded(pages):
    size = cells.pages_per_cell([cells.Place(0, pages)])
    assert pages / size <= cells.MOST_CELLS
    assert size == 1 or pages / (size // 2) > cells.MOST_CELLS


def test_a_zone_that_grew():
    larger = _text().replace("end=262144", "end=524288").replace("present=258048", "present=500000")
    found = cells.places([dump.parse(_text(), "x"), dump.parse(larger, "y")])
    assert found[0, "DMA32"] == cells.Place(4096, 524288)


def _has_colour(path, colour):
    pixels = image.imread(path)[:, :, :3]
    return (abs(pixels - colour).max(axis=2) < 1 / 128).mean() > 0.01


def _draw(path, *texts):
    names = ("before", "after")
    return picture.draw(
        [(name, dump.parse(text, name)) for name, text in zip(names, texts, strict=False)], path
    )


ALL_FREE = _text(*((start, 10) for start in range(4096, 262144, 1024)))
SINGLE = _text(*((start, 0) for start in range(4096, 262144 // 2)))


def test_the_picture_has_what_is_there(tmp_path):
    path = tmp_path / "x.png"
    lines = _draw(path, _text(), ALL_FREE)
    assert lines == [
        "before: DMA, node 0: 16 MiB, 0 MiB free, 0 MiB of it in small blocks",
        "before: DMA32, node 0: 1,008 MiB, 0 MiB free, 0 MiB of it in small blocks",
        "after: DMA, node 0: 16 MiB, 0 MiB free, 0 MiB of it in small blocks",
        "after: DMA32, node 0: 1,008 MiB, 1,008 MiB free, 0 MiB of it in small blocks",
    ]
    assert _has_colour(path, picture.USED)
    assert _has_colour(path, picture.LARGE)
    assert not _has_colour(path, picture.SMALL)
    lines = _draw(path, SINGLE)
    assert lines[1].endswith("496 MiB free, 496 MiB of it in small blocks")
    assert _has_colour(path, picture.SMALL)
    assert not _has_colour(path, picture.LARGE)


def test_a_zone_that_is_gone(tmp_path):
    lines = _draw(tmp_path / "x.png", _text(), _text(zones=ZONES[:1]))
    assert lines[-1] == "after: DMA32, node 0: not there"


def test_colours_of_cells():
    """Half of a cell is half of the colour."""
    found = picture.colours(_cells(_text((4096, 3)), 16))
    half = [(small + used) / 2 for small, used in zip(picture.SMALL, picture.USED, strict=True)]
    assert list(found[0, 0]) == pytest.approx(half)
    assert list(found[0, 1]) == pytest.approx(picture.USED)
    assert found.shape == (-(-(262144 - 4096) // 16 // picture.COLUMNS), picture.COLUMNS, 3)
    # What is past the end is not drawn as in use.
    short = _text(zones=("zone node=0 name=DMA start=0 end=16 present=16",))
    assert list(picture.colours(_cells(short))[0, 1]) == list(picture.NOTHING)


def test_dumps_of_two_machines(tmp_path):
    other = _text(heading=HEADING.replace("4096", "16384"))
    with pytest.raises(ToolError, match="different machines"):
        _draw(tmp_path / "x.png", _text(), other)
    assert not list(tmp_path.iterdir())


def test_command_line(run, tmp_path):
    before, after, output = (tmp_path / name for name in ("first.txt", "second.txt", "x.png"))
    before.write_text(_text())
    after.write_text(ALL_FREE)
    tool = (sys.executable, "-m", "tools.memory_map")
    result = run(*tool, before, after, "-o", output)
    assert result.returncode == 0, result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        "first", "first", "second", "second", "Written",
    ]  # fmt: skip
    assert image.imread(output).any()

    for bad in (b"hello\n", b"\xff\xfe", None):
        after.unlink()
        if bad is not None:
            after.write_bytes(bad)
        result = run(*tool, before, after, "-o", tmp_path / "no.png")
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"memory_map: error: {after}")
        assert not (tmp_path / "no.png").exists()
        after.touch()


def test_before_is_left_of_after(tmp_path):
    path = tmp_path / "x.png"
    _draw(path, _text(), ALL_FREE)
    pixels = image.imread(path)[:, :, :3]
    free = (abs(pixels - picture.LARGE).max(axis=2) < 1 / 128).nonzero()[1]
    used = (abs(pixels - picture.USED).max(axis=2) < 1 / 128).nonzero()[1]
    middle = pixels.shape[1] / 2
    # But for the legend, which has a little of each.
    for places, is_right in ((free, True), (used, False)):
        right = (places > middle).mean()
        assert (right if is_right else 1 - right) > 0.9
