# SPDX-License-Identifier: GPL-2.0
"""Draws Documentation/images/architecture.svg: `python -m tools.docs.architecture`.

The files are named as they are in the tree; tools/tests/static/test_docs_names.py sees to it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

FILE = Path(__file__).resolve().parents[2] / "Documentation/images/architecture.svg"
WIDTH, MARGIN, LINE, TITLE = 960, 16, 17, 24


@dataclass(frozen=True)
class Box:
    """A part: what it is called, and the files that it consists of."""

    title: str
    lines: tuple[str, ...]
    # Of the twelve columns of its layer.
    columns: int


@dataclass(frozen=True)
class Layer:
    """Parts beside each other."""

    title: str
    folder: str
    colour: str
    boxes: tuple[Box, ...]


LAYERS = (
    Layer("Driver, without unsafe", "drivers/virtio/virtio_balloon/", "#dcebf7", (
        Box("wiring", ("device.rs", "policy.rs", "counters.rs", "failure.rs"), 2),
        Box("free page hinting", ("hint.rs  rounds.rs", "source.rs:", "hold.rs  walk.rs",
                                  "isolate.rs"), 2),
        Box("free page bitmap", ("bitmap.rs", "bitmap_request.rs", "outbox.rs",
                                 "cache_drop.rs"), 2),
        Box("inflate, deflate", ("resizing.rs  target.rs", "sizing.rs  filling.rs",
                                 "page_buffer.rs", "moving.rs  oom.rs"), 2),
        Box("statistics", ("stats.rs", "awake.rs"), 2),
        Box("reporting", ("reporting.rs",), 2),
    )),
    Layer("Abstractions: kernel_next, a facade of the kernel crate", "rust/kernel/", "#e3f3df", (
        Box("virtio", ("virtio.rs  virtio/feature.rs", "virtio/virtqueue.rs", "virtio/buffer.rs",
                       "virtio/out_bitmap.rs"), 3),
        Box("life of a device", ("virtio/lifecycle.rs", "virtio/work.rs", "virtio/access.rs",
                                 "workqueue.rs  pm.rs"), 3),
        Box("free memory", ("mm/free_walk.rs  mm/zone.rs", "mm/isolation.rs", "mm/page_run.rs",
                            "scatter_bitmap.rs"), 3),
        Box("the kernel calls us", ("mm/balloon.rs", "mm/page_reporting.rs", "mm/shrinker.rs",
                                    "mm/oom.rs"), 3),
    )),
    Layer("C: inline functions and macros, headers for bindgen", "rust/", "#f7eed3", (
        Box("helpers", ("helpers/virtio.c  helpers/mmzone.c", "helpers/isolation.c  helpers/pm.c"), 6),
        Box("bindings", ("bindings/bindings_helper.h",), 6),
    )),
    Layer("Kernel", "", "#ececec", (
        Box("virtio core, transports", (), 3),
        Box("page allocator", (), 3),
        Box("balloon list, reporting, OOM", (), 3),
        Box("work queues, PM, debugfs", (), 3),
    )),
    Layer("Host (QEMU)", "", "#f6dfe0", (
        Box("0 inflate   1 deflate", (), 3),
        Box("2 statistics", (), 3),
        Box("3 hints or bitmap", (), 3),
        Box("4 reporting", (), 3),
    )),
)  # fmt: skip


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(text)}</text>'


def _layer(layer: Layer, top: int) -> tuple[list[str], int]:
    lines = max(len(box.lines) for box in layer.boxes)
    inner = TITLE + lines * LINE + (6 if lines else 2)
    height = TITLE + inner + 18
    title = f"{layer.title}: {layer.folder}" if layer.folder else layer.title
    shapes = [
        f'<rect x="{MARGIN}" y="{top}" width="{WIDTH - 2 * MARGIN}" height="{height}" rx="6" '
        f'fill="{layer.colour}" stroke="#888"/>',
        _text(MARGIN + 10, top + 18, title, "layer"),
    ]
    column = (WIDTH - 2 * MARGIN - 10) / 12
    x = MARGIN + 10.0
    for box in layer.boxes:
        width = box.columns * column - 8
        shapes += [
            f'<rect x="{x:g}" y="{top + TITLE + 4}" width="{width:g}" height="{inner}" rx="4" '
            'fill="#fff" stroke="#888"/>',
            _text(x + 8, top + TITLE + 22, box.title, "box"),
        ]
        for number, line in enumerate(box.lines, 1):
            shapes.append(_text(x + 8, top + TITLE + 22 + number * LINE, line, "file"))
        x += box.columns * column
    return shapes, top + height


def _arrow(y: int, words: str) -> list[str]:
    middle = WIDTH // 2
    heads = f"M {middle} {y + 2} l -5 7 h 10 z M {middle} {y + 26} l -5 -7 h 10 z"
    return [
        f'<path d="{heads} M {middle - 1} {y + 8} h 2 v 12 h -2 z" fill="#444"/>',
        _text(middle + 14, y + 18, words, "note"),
    ]


BETWEEN = (
    "safe types: Virtqueue, DeviceWork, FreeWalk, IsolatedRun, PageBalloon",
    "unsafe, each use with its reason",
    "C calls",
    "virtqueues, configuration space, notifications",
)


def draw() -> str:
    """The picture."""
    shapes: list[str] = []
    y = MARGIN
    for number, layer in enumerate(LAYERS):
        more, y = _layer(layer, y)
        shapes += more
        if number < len(BETWEEN):
            shapes += _arrow(y, BETWEEN[number])
            y += 28
    style = (
        "text{font-family:sans-serif;fill:#222}.layer{font-size:14px;font-weight:bold}"
        ".box{font-size:13px;font-weight:bold}.file{font-size:12px;font-family:monospace}"
        ".note{font-size:12px;font-style:italic}"
    )
    body = "\n".join(shapes)
    return (
        "<!-- SPDX-License-Identifier: GPL-2.0; drawn by tools/docs/architecture.py -->\n"
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + MARGIN}">\n'
        f"<style>{style}</style>\n"
        f'<rect width="{WIDTH}" height="{y + MARGIN}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def files() -> list[str]:
    """The files that it names, from the top of the tree."""
    found = []
    for layer in LAYERS:
        words = " ".join(line for box in layer.boxes for line in box.lines).split()
        found += [layer.folder + word.rstrip(":") for word in words]
    return found


if __name__ == "__main__":
    FILE.write_text(draw())
    print(FILE, file=sys.stderr)
