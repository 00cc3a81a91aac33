# SPDX-License-Identifier: GPL-2.0
"""What a benchmark is given: what to measure with, and where to put what it measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tools.bench.samples import Key, Samples
from tools.guest import memory, paths
from tools.guest.errors import ToolError
from tools.guest.machine import Machine

_DEADLINE = 600.0


@dataclass(frozen=True)
class Missing:
    """Something that was not measured, and why: not wanted, or failed."""

    name: str
    guest_mib: int
    subject: str
    why: str


@dataclass
class Bench:
    rounds: int
    # Sizes of the guest in MiB, as the user chose them; None: the benchmark's own.
    sizes: tuple[int, ...] | None
    # As drivers.modules() has them.
    modules: Mapping[str, Path]
    logs: Path
    name: str
    # The guests' kernel, which `modules` are for.
    flavour: str = "plain"
    speak: Callable[[str], None] = print
    samples: Samples = field(default_factory=Samples)
    skipped: list[Missing] = field(default_factory=list)
    failures: list[Missing] = field(default_factory=list)
    # Samples of an attempt that goes on.
    _pending: Samples | None = None

    def record(self, guest_mib: int, subject: str, metric: str, unit: str, value: float) -> None:
        """Adds one sample."""
        target = self.samples if self._pending is None else self._pending
        target.add(Key(self.name, guest_mib, subject, metric, unit), value)

    def say(self, text: str) -> None:
        self.speak(f"{self.name}: {text}")

    def skip(self, guest_mib: int, subject: str, why: str) -> None:
        """Notes, once, what is not measured and why."""
        missing = Missing(self.name, guest_mib, subject, why)
        if missing not in self.skipped:
            self.skipped.append(missing)
            self.say(f"{guest_mib} MiB, {subject}: not measured: {why}")

    def fits(self, guest_mib: int, subject: str, need_mib: int) -> bool:
        """Whether the host has that much memory now; if not, that is noted."""
        have = memory.host_available_mib()
        if have < need_mib:
            why = f"it takes {need_mib} MiB of the host, which has {have} MiB"
            self.skip(guest_mib, subject, why)
        return have >= need_mib

    def fail(self, guest_mib: int, subject: str, error: ToolError) -> None:
        self.failures.append(Missing(self.name, guest_mib, subject, str(error)))
        self.say(f"{guest_mib} MiB, {subject} FAILED: {error}")

    @contextmanager
    def attempt(self, guest_mib: int, subject: str) -> Iterator[None]:
        """One run of one subject. If it fails, that is noted, nothing that it recorded counts,
        and the benchmark goes on."""
        assert self._pending is None, "attempts do not nest"
        self._pending = Samples()
        try:
            yield
            self.samples.take(self._pending)
        except ToolError as error:
            self.fail(guest_mib, subject, error)
        finally:
            self._pending = None

    def machine(self, **changes: Any) -> Machine:
        """A guest in the patched QEMU, which is the same for all subjects."""
        machine = Machine(
            kernel=paths.kernel(self.flavour),
            modules=self.modules,
            patched=True,
            deadline=_DEADLINE,
        )
        return replace(machine, **changes)
