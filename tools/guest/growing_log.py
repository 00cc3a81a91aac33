# SPDX-License-Identifier: GPL-2.0
"""A log that QEMU still writes to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class GrowingLog:
    """Reads what was added since the last time: logs grow to 200 MB."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset

    def lines(self) -> Iterator[str]:
        """Whole lines, without their ends."""
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # QEMU is still writing it.
                self._offset += len(line)
                yield line.decode(errors="replace").rstrip("\n")


def size(path: Path) -> int:
    """Where the log ends now."""
    return path.stat().st_size if path.exists() else 0
