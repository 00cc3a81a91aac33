# SPDX-License-Identifier: GPL-2.0
"""Whether balloon extents can be measured: both the device and the driver have to have them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.bench.comparison import EXTENTS_NAME
from tools.guest import paths
from tools.guest.errors import ToolError


def why_not(module: Path) -> str | None:
    """None if nothing is missing."""
    if not in_help(_device_help()):
        return (
            f"the device of QEMU_PATCHED has no property '{EXTENTS_NAME}': build it anew with 'make"
            " setup', or set QEMU_PATCHED to a QEMU with balloon extents"
        )
    if not in_module(module.read_bytes()):
        return (
            f"{module.name} has no parameter '{EXTENTS_NAME}': build it anew with 'make module', or"
            " set MODULE to one with balloon extents"
        )
    return None


def in_help(text: str) -> bool:
    """Whether the property is in what `-device virtio-balloon-pci,help` says."""
    return any(line.strip().startswith(f"{EXTENTS_NAME}=") for line in text.splitlines())


def in_module(content: bytes) -> bool:
    """Whether a module has the parameter."""
    return f"\0parmtype={EXTENTS_NAME}:".encode() in content


def _device_help() -> str:
    qemu = paths.lookup("QEMU_PATCHED")
    try:
        done = subprocess.run(
            [str(qemu), "-device", "virtio-balloon-pci,help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"cannot ask QEMU_PATCHED={qemu} for its devices: {error}") from error
    return done.stdout
