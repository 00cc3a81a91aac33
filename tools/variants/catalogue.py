# SPDX-License-Identifier: GPL-2.0
"""The variants: fragments of kernel configuration in tools/kernel/variants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tools.guest.errors import ToolError
from tools.guest.paths import ROOT

FOLDER = ROOT / "tools/kernel/variants"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SETTING = re.compile(r"(CONFIG_[A-Z0-9_]+)=(\S+)")


@dataclass(frozen=True)
class Variant:
    name: str
    # The fragment's first comment: what is different for the driver.
    about: str
    settings: dict[str, str]

    @property
    def flavour(self) -> str:
        """What tools/setup/kernel.sh calls its kernel."""
        return f"variant-{self.name}"


def read(path: Path) -> Variant:
    """A fragment: what it is for in a comment, then settings."""
    if not _NAME.fullmatch(path.stem):
        raise ToolError(f"{path}: a variant's name is of small letters, digits and hyphens")
    about: list[str] = []
    settings: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("# "):
            if not settings:
                about.append(line.removeprefix("# "))
        elif match := _SETTING.fullmatch(line):
            if match[1] in settings:
                raise ToolError(f"{path}:{number}: {match[1]} is there twice")
            settings[match[1]] = match[2]
        elif line:
            raise ToolError(f"{path}:{number}: '{line}' is neither CONFIG_...= nor a comment")
    if not about or not settings:
        raise ToolError(f"{path}: a variant begins with a comment on what it is, then settings")
    return Variant(path.stem, " ".join(about), settings)


def catalogue(folder: Path = FOLDER) -> dict[str, Variant]:
    return {path.stem: read(path) for path in sorted(folder.glob("*.config"))}
