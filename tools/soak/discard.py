# SPDX-License-Identifier: GPL-2.0
"""`python -m tools.soak.discard`: discards a guest's free memory again and again under churn.

Blocks are isolated, discarded by the host, and put back, in all orders and with caches dropped
first; requests are overtaken and cancelled. In between, every page is compared, and what was
dirtied and freed must be gone from the host.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from tools.guest import (
    agent_build,
    bitmap,
    console,
    drivers,
    file_cache,
    hinting,
    isolation,
    memory,
    paths,
)
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import Machine
from tools.guest.results import write_json
from tools.soak import load, settings

_DRIVER = drivers.BITMAP_DROP
# Rounds after which everything is compared.
_STRETCH = 25
_DIRTIED_MIB = 256
# Of what was dirtied and freed, the guest may use some again at once.
_LEAST_FALL_MIB = _DIRTIED_MIB * 3 // 4
# What the kernel may need for itself by and by. A lost block a round is 2 MiB a round.
_SLACK_KIB = 24 << 10
# Seconds for a round, and for all that there is besides.
_ROUND_DEADLINE = 5.0
_OTHER_DEADLINE = 300.0


@dataclass
class Outcome:
    rounds: int = 0
    verdict: load.Verdict = field(default_factory=load.Verdict)
    discarded_bytes: int = 0
    # Each time after a region was dirtied and freed: what QEMU had before and after a round.
    falls_mib: list[tuple[int, int]] = field(default_factory=list)
    # Pages that are nowhere in the end.
    lost_kib: int = 0
    acts: Counter[str] = field(default_factory=Counter)

    @property
    def right(self) -> bool:
        return (
            self.rounds > 0
            and self.verdict.right
            and self.lost_kib <= _SLACK_KIB
            and bool(self.falls_mib)
            and all(before - after >= _LEAST_FALL_MIB for before, after in self.falls_mib)
        )


class _Host:
    """What the host does for a round, at random."""

    def __init__(self, guest: Guest, numbers: random.Random, outcome: Outcome) -> None:
        self._guest = guest
        self._numbers = numbers
        self._outcome = outcome

    def round(self) -> None:
        """A round, after other requests perhaps that it ends."""
        act = self._numbers.choice((self._nothing, self._nothing, self._overtaken, self._cancelled))
        act()
        order = self._numbers.choice((9, 9, 9, 10, 3, 0))
        caches = self._numbers.choice(("none", "none", "none", "page-cache", "all"))
        self._outcome.acts[f"order-{order}"] += 1
        if caches != "none":
            self._outcome.acts[caches] += 1
        last = bitmap.discard(self._guest, order=order, caches=caches)
        self._outcome.discarded_bytes += last["discarded-bytes"]
        self._outcome.rounds += 1

    def _nothing(self) -> None:
        pass

    def _overtaken(self) -> None:
        """By the round, or by a request for hints that the round ends in turn."""
        bitmap.ask_to_discard(self._guest, order=self._numbers.choice((0, 9)))
        time.sleep(self._numbers.uniform(0, 0.05))
        if self._numbers.random() < 0.5:
            bitmap.ask(self._guest, order=0)
        self._outcome.acts["overtaken"] += 1

    def _cancelled(self) -> None:
        request = bitmap.Request(
            bitmap.fresh_id(),
            order=self._numbers.choice((0, 9)),
            flags=bitmap.ISOLATED,
            end_pfn=bitmap.MAX_PFN,
        )
        bitmap.send(self._guest, request)
        time.sleep(self._numbers.uniform(0, 0.05))
        bitmap.send(self._guest, bitmap.Request(request.id, bitmap.CANCEL, order=0))
        self._outcome.acts["cancelled"] += 1


def run(
    machine: Machine,
    rounds: int,
    seed: int,
    logs: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Ends with the first stretch of rounds in which something is wrong.

    `machine` says which kernel, modules, and how much memory.
    """
    numbers = random.Random(seed)
    outcome = Outcome()
    machine = replace(
        machine,
        balloon=_DRIVER.balloon(),
        read_only_disks=(file_cache.disk(load.DISK_MIB),),
        patched=True,
        deadline=rounds * _ROUND_DEADLINE + _OTHER_DEADLINE,
    )
    with Guest(machine, logs, "guest") as guest:
        guest.boot()
        _DRIVER.load(guest)
        load.prepare(guest)
        host = _Host(guest, numbers, outcome)
        unused = _unused_kib(guest)
        while outcome.rounds < rounds and not outcome.verdict.lost:
            load.start(guest, numbers.randrange(1 << 32))
            for _ in range(min(_STRETCH, rounds - outcome.rounds)):
                host.round()
            load.check(guest, outcome.verdict)
            if not outcome.verdict.lost:
                outcome.falls_mib.append(_dirty_and_discard(guest, numbers))
            say(f"{outcome.rounds}/{rounds}, {outcome.verdict}, {outcome.falls_mib[-1:]}")
        if not outcome.verdict.lost:
            isolation.wait_until_put_back(guest)
            outcome.lost_kib = unused - _unused_kib(guest)
            if bitmap.query(guest)["bad-reports"]:
                raise ToolError("QEMU does not understand the driver's reports")
            console.check([guest.console_log])
    return outcome


def _unused_kib(guest: Guest) -> int:
    """All that is free, or would be if the caches were dropped."""
    info = guest.agent.meminfo()
    caches = info["Buffers"] + info["Cached"] + info["SReclaimable"]
    return hinting.free_kib(guest) + caches


def _dirty_and_discard(guest: Guest, numbers: random.Random) -> tuple[int, int]:
    """What QEMU has, in MiB, when the guest has freed a region, and when that was discarded."""
    seed = numbers.randrange(1 << 32)
    guest.agent.call("fill", 120, name="dirtied", mib=_DIRTIED_MIB, seed=seed, huge=True)
    guest.agent.call("drop", name="dirtied")
    before = guest.resident_kib()
    bitmap.discard(guest)
    return before >> 10, guest.resident_kib() >> 10


def main() -> int:
    screen = Console(soft_wrap=True, highlight=False)
    try:
        chosen = settings.from_environment(rounds=1000, flavour="patched")
        if chosen.flavour == "plain":
            raise ToolError("the plain kernel cannot isolate: set SOAK_FLAVOUR=patched")
        memory.require_host_memory(chosen.guest_mib)
        paths.lookup("QEMU_PATCHED")
        agent_build.build()
        machine = Machine(
            kernel=paths.kernel(chosen.flavour),
            modules=drivers.modules(chosen.flavour),
            memory_mib=chosen.guest_mib,
        )
        logs = paths.LOGS / "soak" / "discard"
        screen.print(f"{chosen.rounds} rounds; again with SOAK_SEED={chosen.seed}")
        start = time.monotonic()
        with screen.status("discard") as status:
            outcome = run(machine, chosen.rounds, chosen.seed, logs, status.update)
        seconds = time.monotonic() - start
    except ToolError as error:
        Console(stderr=True).print(f"soak: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130
    screen.print(_describe(outcome, logs, seconds), markup=False)
    _write(chosen, outcome, seconds)
    return 0 if outcome.right else 1


def _describe(outcome: Outcome, logs: Path, seconds: float) -> str:
    acts = ", ".join(f"{count} {name}" for name, count in sorted(outcome.acts.items()))
    verdict = outcome.verdict
    text = f"{outcome.rounds} rounds in {seconds:.0f} s, {outcome.discarded_bytes >> 20:,} MiB"
    text += f" discarded, {verdict.pages:,} pages compared, {verdict.wrong} wrong; {acts}."
    if outcome.falls_mib:
        least = min(before - after for before, after in outcome.falls_mib)
        text += f" Of {_DIRTIED_MIB} MiB dirtied and freed, QEMU gave back {least} or more."
    text += f" The guest has {outcome.lost_kib} KiB less than in the beginning."
    if verdict.broken:
        text += f" It is BROKEN: {verdict.broken}."
    return text + (" All right." if outcome.right else f" WRONG. Logs: {logs}")


def _write(chosen: settings.Settings, outcome: Outcome, seconds: float) -> None:
    report = {
        "seed": chosen.seed,
        "guest_mib": chosen.guest_mib,
        "flavour": chosen.flavour,
        "seconds": round(seconds),
        **asdict(outcome),
        # asdict() counts the pairs of a Counter.
        "acts": dict(outcome.acts),
    }
    write_json(paths.RESULTS / "soak-discard.json", report)


if __name__ == "__main__":
    sys.exit(main())
