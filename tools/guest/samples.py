# SPDX-License-Identifier: GPL-2.0
"""The sample modules (samples/rust), and the list of free blocks that one of them shows."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

from tools.guest import paths
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.memory_map import dump

FREE_BLOCKS = "rust_free_blocks.ko"
RNG = "rust_virtio_rng.ko"
BLOCKS_FILE = "/sys/kernel/debug/rust_free_blocks/blocks"

_FOLDERS = {"plain": "SAMPLES", "check": "SAMPLES_CHECK"}


def modules(flavour: str = "check") -> dict[str, Path]:
    """The samples for that guest kernel, by the names that they have in the guest."""
    if flavour not in _FOLDERS:
        raise ToolError(f"there are no samples for the {flavour} kernel")
    folder = paths.lookup(_FOLDERS[flavour])
    return {name: folder / name for name in (FREE_BLOCKS, RNG)}


def free_blocks_text(guest: Guest) -> str:
    """The whole list. It is packed on its way, as the serial port is slow."""
    # A file of its own first: packing takes memory, and time in which the list would grow old.
    script = f"cat {BLOCKS_FILE} > /tmp/blocks && gzip -c /tmp/blocks | base64; rm /tmp/blocks"
    return gzip.decompress(base64.b64decode(guest.agent.run(script))).decode("ascii")


def free_blocks(guest: Guest) -> dump.Dump:
    return dump.parse(free_blocks_text(guest), BLOCKS_FILE)
