# SPDX-License-Identifier: GPL-2.0
"""What make check-debian makes of the documentation's commands, as far as it takes no Debian."""

from pathlib import Path

from tools.debian import tracing_trial
from tools.docs import blocks

TREE = Path(__file__).resolve().parents[3]
SHOWN = """@ns[0, DMA32]:
[16K, 32K)             2 |@@@@      |
virtio_balloon_hint: dev=1 id=7 pfn=0x33400 pages=64"""
PRINTED = """Attaching 1 probe...

@ns[1, ]:
[1M, 2M)              17 |@         |
  kworker/u9:1-31  [000] .....    32.8: virtio_balloon_hint:  dev=0 id=214 pfn=0xf pages=1
"""


def test_blocks_can_be_run():
    """Each is about something that the trial brings about, and has its output with it."""
    found = blocks.of_kind(TREE, "debian")
    commands = [block for block in found if block.argument != tracing_trial.OUTPUT]
    assert {block.argument for block in commands} <= set(tracing_trial.SITUATIONS)
    assert len(commands) >= 10 and len(found) == 2 * len(commands)
    for block in commands:
        assert list(tracing_trial.commands(block.text))
    # None of the figures is compared with nothing.
    for figure in tracing_trial.FIGURES:
        assert any(figure.command in block.text for block in commands), figure


def test_commands():
    text = "one \\\n  'two\nthree'\ncd here"
    assert list(tracing_trial.commands(text)) == ["one \\\n  'two\nthree'", "cd here"]


def test_lines_that_are_missing():
    """Numbers, bars and the beginnings of lines do not count; all else does."""
    assert tracing_trial.missing(SHOWN, PRINTED) == []
    for word, other in (("@ns", "@nz"), ("17 |", "17 :"), ("pages", "page"), ("kworker/u9:1", "dev")):
        absent = tracing_trial.missing(SHOWN, PRINTED.replace(word, other))
        assert len(absent) == (word != "kworker/u9:1"), word
