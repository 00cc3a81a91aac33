# SPDX-License-Identifier: GPL-2.0
"""Asks LLVM's tools what the counters say about lines and regions of the source."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tools.guest.errors import ToolError

# Kinds of regions in `llvm-cov export`: code, as opposed to gaps, expansions, and branches.
_CODE = 0


class Region(NamedTuple):
    """Source that runs as a whole; columns count from 1, the last is not part of it."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass
class Counts:
    """How often lines and regions of a file ran."""

    lines: dict[int, int] = field(default_factory=dict)
    regions: dict[Region, int] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        for line, count in other.lines.items():
            self.lines[line] = max(count, self.lines.get(line, 0))
        for region, count in other.regions.items():
            self.regions[region] = max(count, self.regions.get(region, 0))


def counts(module: Path, profile: str, directory: Path) -> dict[Path, Counts]:
    """By source file. `directory` is for what the tools leave behind."""
    directory.mkdir(parents=True, exist_ok=True)
    text, indexed = directory / "profile.txt", directory / "profile"
    text.write_text(profile)
    _run("llvm-profdata", "merge", str(text), "-o", str(indexed))
    where = (f"-instr-profile={indexed}", str(module))
    found: dict[Path, Counts] = defaultdict(Counts)
    _add_lines(found, _run("llvm-cov", "export", "-format=lcov", *where))
    _add_regions(found, json.loads(_run("llvm-cov", "export", *where)))
    return found


def _add_lines(found: dict[Path, Counts], lcov: str) -> None:
    current = Counts()
    for row in lcov.splitlines():
        key, _, value = row.partition(":")
        if key == "SF":
            current = found[Path(value)]
        elif key == "DA":
            line, count = value.split(",")[:2]
            current.lines[int(line)] = int(count)


def _add_regions(found: dict[Path, Counts], exported: dict[str, Any]) -> None:
    for function in exported["data"][0]["functions"]:
        files = [Path(name) for name in function["filenames"]]
        # A generic function is there once for each type; it ran if it ran for one.
        for line, column, end, end_column, count, file, _, kind in function["regions"]:
            if kind == _CODE:
                region = Region(line, column, end, end_column)
                regions = found[files[file]].regions
                regions[region] = max(count, regions.get(region, 0))


def _run(tool: str, *arguments: str) -> str:
    path = Path(os.environ.get("LLVM_BIN", "")) / tool
    try:
        done = subprocess.run(
            [str(path), *arguments], capture_output=True, text=True, timeout=300, check=False
        )
    except OSError as error:
        raise ToolError(f"cannot run {path}: {error}; set LLVM_BIN to its directory") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{path} did not end within {error.timeout:.0f} s") from error
    if done.returncode:
        raise ToolError(f"{path} {arguments[0]} failed:\n{done.stderr}")
    return done.stdout
