# SPDX-License-Identifier: GPL-2.0
"""Modules of a kernel of Debian, as our guests' busybox can load them: not compressed."""

from __future__ import annotations

import lzma
from pathlib import Path

from tools.guest.errors import ToolError


def uncompressed(module: Path, directory: Path) -> Path:
    """The module itself, or a copy in `directory` that is not compressed."""
    if module.suffix != ".xz":
        return module
    target = directory / module.stem
    target.write_bytes(lzma.decompress(module.read_bytes()))
    return target


def with_dependencies(modules: Path, names: tuple[str, ...]) -> list[Path]:
    """These of the modules in /lib/modules/RELEASE and what they need, in the order of loading."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        needs[Path(path).name.partition(".")[0]] = [path, *needed.split()]
    found: dict[str, None] = {}
    for name in names:
        if name not in needs:
            raise ToolError(f"{modules} has no module {name}")
        # A module's needs are listed with the last one first.
        found.update(dict.fromkeys(reversed(needs[name])))
    return [modules / path for path in found]
