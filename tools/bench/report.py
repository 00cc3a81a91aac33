# SPDX-License-Identifier: GPL-2.0
"""The results' file: build/results/bench.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.bench.bench import Missing
from tools.bench.parts import Bar
from tools.bench.samples import Rows
from tools.guest.errors import ToolError
from tools.guest.results import write_json

# The lists of the file; what is in them says which benchmark it is of.
_LISTS = ("benchmarks", "bars", "skipped", "failures", "runs")


class Report:
    """Has the results of this run, and of benchmarks that this run does not have those of an
    earlier one."""

    def __init__(self, path: Path, host: dict[str, Any], command: str) -> None:
        self._path = path
        self._head = {"host": host, "command": command}
        self._lists = _read(path)

    def put(
        self,
        name: str,
        rows: Rows,
        bars: Iterable[Bar],
        skipped: Iterable[Missing],
        failures: Iterable[Missing],
        about: dict[str, Any],
    ) -> None:
        """Takes the place of what there was of that benchmark, and writes the file."""
        fresh: dict[str, list[dict[str, Any]]] = {
            "benchmarks": [row.as_dict() for row in rows],
            "bars": [{"name": name, **asdict(bar)} for bar in bars],
            "skipped": [asdict(missing) for missing in skipped],
            "failures": [asdict(missing) for missing in failures],
            "runs": [{"name": name, **about, **self._head}],
        }
        for key, entries in fresh.items():
            kept = [entry for entry in self._lists[key] if entry["name"] != name]
            self._lists[key] = kept + entries
        self._write()

    def _write(self) -> None:
        write_json(self._path, {**self._lists, **self._head})


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    if not path.exists():
        return {key: [] for key in _LISTS}
    try:
        found = json.loads(path.read_text())
        lists = {key: list(found.get(key, [])) for key in _LISTS}
        if all(isinstance(entry["name"], str) for entries in lists.values() for entry in entries):
            return lists
    except (ValueError, AttributeError, KeyError, TypeError):
        pass
    raise ToolError(f"{path} has no results of this program: remove it, and start again")
