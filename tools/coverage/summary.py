# SPDX-License-Identifier: GPL-2.0
"""Sums up what ran, file by file, and lists what did not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.coverage import source
from tools.coverage.llvm import Counts, Region
from tools.guest.paths import ROOT

# Percent of the lines of each group that have to run.
BAR = 90
GROUPS = {
    "the driver": r"drivers/",
    "free list walk": r"rust/kernel/mm/(free_walk|free_list|zone)\.rs",
    "bitmap": r"rust/kernel/(scatter_bitmap|virtio/out_bitmap)\.rs",
    "virtio bus and virtqueues": r"rust/kernel/virtio(/.*)?\.rs",
    "all of rust/kernel": r"rust/kernel/",
    "all": r"",
}


@dataclass(frozen=True)
class Row:
    name: str
    covered: int
    lines: int
    covered_regions: int
    regions: int

    @property
    def percent(self) -> float:
        return 100 * self.covered / self.lines if self.lines else 100.0

    def shown(self, width: int) -> str:
        regions = f"{self.covered_regions} of {self.regions}"
        share = f"{self.covered} of {self.lines}"
        return f"{self.name:{width}} {share:>13} {self.percent:6.1f} %  {regions:>13}"


@dataclass(frozen=True)
class File:
    name: str
    text: list[str]
    counts: Counts

    def row(self) -> Row:
        lines, regions = self.counts.lines.values(), self.counts.regions.values()
        return Row(self.name, _ran(lines), len(lines), _ran(regions), len(regions))

    def missed_lines(self) -> list[int]:
        return sorted(line for line, count in self.counts.lines.items() if not count)

    def missed_regions(self) -> list[Region]:
        """Regions that did not run of lines that did."""
        return sorted(
            region
            for region, count in self.counts.regions.items()
            if not count and self.counts.lines.get(region.line)
        )


def files(found: Mapping[Path, Counts]) -> list[File]:
    """Our files without their tests."""
    tests = source.test_files()
    merged: dict[str, Counts] = {}
    for path, counts in found.items():
        name = source.name(path)
        if name and name not in tests:
            merged.setdefault(name, Counts()).add(counts)
    result = []
    for name, counts in sorted(merged.items()):
        text = (ROOT / name).read_text().splitlines()
        tests_of_it = source.test_lines(text)
        kept = Counts(
            {line: count for line, count in counts.lines.items() if line not in tests_of_it},
            {
                region: count
                for region, count in counts.regions.items()
                if region.line not in tests_of_it
            },
        )
        if kept.lines:
            result.append(File(name, text, kept))
    return result


def groups(measured: Iterable[File]) -> list[Row]:
    rows = [file.row() for file in measured]
    return [
        _sum(name, [row for row in rows if re.match(pattern, row.name)])
        for name, pattern in GROUPS.items()
    ]


def table(measured: list[File]) -> str:
    rows, sums = [file.row() for file in measured], groups(measured)
    width = max(len(row.name) for row in [*rows, *sums])
    head = f"{'':{width}} {'lines':>13} {'':8}  {'regions':>13}"
    shown = [row.shown(width) for row in rows]
    return "\n".join([head, *shown, "", *(row.shown(width) for row in sums)])


def uncovered(measured: list[File]) -> str:
    """The lines that did not run, and the parts of others, with their text."""
    out = []
    for file in measured:
        missed, parts = file.missed_lines(), file.missed_regions()
        if not missed and not parts:
            continue
        out.append(f"{file.name}: {len(missed)} lines, and parts of {len(parts)} others")
        out += [f"  {number:4}  {file.text[number - 1]}" for number in missed]
        if missed and parts:
            out.append("")
        for region in parts:
            line = file.text[region.line - 1].strip()
            out.append(f"  {region.line:4}  {_text(file.text, region)}   in: {line}")
        out.append("")
    return "\n".join(out)


def data(measured: list[File]) -> dict[str, object]:
    """The same for programs."""
    return {
        "bar": BAR,
        "groups": [asdict(row) for row in groups(measured)],
        "files": [asdict(file.row()) | {"uncovered": file.missed_lines()} for file in measured],
    }


def below_bar(measured: list[File]) -> list[str]:
    return [row.name for row in groups(measured) if row.percent < BAR]


def _sum(name: str, rows: list[Row]) -> Row:
    return Row(
        name,
        sum(row.covered for row in rows),
        sum(row.lines for row in rows),
        sum(row.covered_regions for row in rows),
        sum(row.regions for row in rows),
    )


def _ran(counts: Iterable[int]) -> int:
    return sum(count > 0 for count in counts)


def _text(lines: list[str], region: Region) -> str:
    line = lines[region.line - 1]
    end = region.end_column - 1 if region.end_line == region.line else len(line)
    return f"`{line[region.column - 1 : end]}`"
