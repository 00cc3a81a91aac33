# SPDX-License-Identifier: GPL-2.0
"""Files of results, written so that nobody reads half of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another name to write to; the file has its own once that is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    yield partial
    partial.replace(path)


def write_json(path: Path, report: Any) -> None:
    with whole(path) as partial:
        partial.write_text(json.dumps(report, indent=2) + "\n")
