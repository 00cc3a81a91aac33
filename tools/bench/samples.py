# SPDX-License-Identifier: GPL-2.0
"""What was measured: samples come in, rows with medians go out."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Key:
    """What samples have to have in common to be samples of the same thing."""

    name: str
    guest_mib: int
    subject: str
    metric: str
    unit: str


@dataclass(frozen=True)
class Row:
    """All samples of one thing; the fields are those of the JSON."""

    name: str
    guest_mib: int
    subject: str
    metric: str
    unit: str
    median: float
    min: float
    max: float
    samples: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Rows:
    """The rows of one benchmark, in the order in which they were first measured."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows = list(rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, guest_mib: int, subject: str, metric: str) -> Row | None:
        for row in self._rows:
            if (row.guest_mib, row.subject, row.metric) == (guest_mib, subject, metric):
                return row
        return None

    def median(self, guest_mib: int, subject: str, metric: str) -> float | None:
        """None if there is no such row: whoever asks leaves out what he wanted it for."""
        row = self.find(guest_mib, subject, metric)
        return row.median if row else None

    def sizes(self) -> list[int]:
        return sorted({row.guest_mib for row in self._rows})

    def subjects(self) -> list[str]:
        return list(dict.fromkeys(row.subject for row in self._rows))

    def metrics(self) -> list[str]:
        return list(dict.fromkeys(row.metric for row in self._rows))


@dataclass
class Samples:
    values: dict[Key, list[float]] = field(default_factory=dict)

    def add(self, key: Key, value: float) -> None:
        self.values.setdefault(key, []).append(value)

    def take(self, other: Samples) -> None:
        for key, values in other.values.items():
            self.values.setdefault(key, []).extend(values)

    def rows(self) -> Rows:
        return Rows(
            Row(
                **asdict(key),
                median=statistics.median(values),
                min=min(values),
                max=max(values),
                samples=len(values),
            )
            for key, values in self.values.items()
        )
