# SPDX-License-Identifier: GPL-2.0
"""Which QEMU a binary is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tools.guest.errors import ToolError


def read(qemu: Path) -> str:
    """As in "QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)"."""
    try:
        done = subprocess.run(
            [str(qemu), "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"cannot run {qemu}: {error}") from error
    return done.stdout.partition("\n")[0]
