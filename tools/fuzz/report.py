# SPDX-License-Identifier: GPL-2.0
"""What is said of a run, on the terminal and in build/results/."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.fuzz.closer_look import Finding
from tools.fuzz.runner import Outcome
from tools.fuzz.sessions import Session
from tools.fuzz.settings import Settings
from tools.guest import paths
from tools.guest.results import write_json

FAILURE = "fuzz-failure.txt"
RESULTS = "fuzz.json"
_LOG_LINES = 25


def announce(settings: Settings, screen: Console) -> None:
    text = f"fuzz: FUZZ_SEED={settings.seed:#018x}"
    if settings.replay:
        text = f"fuzz: replay of {len(settings.replay)} sessions"
    else:
        text += f", up to {settings.steps:,} steps or {settings.seconds} s"
    _say(screen, f"{text}, {settings.flavour} kernel, guests: {settings.jobs}")


def success(settings: Settings, outcome: Outcome, screen: Console) -> None:
    table = Table(pad_edge=False)
    table.add_column("step", no_wrap=True)
    table.add_column("times", justify="right")
    for name, count in sorted(outcome.kinds.items(), key=lambda kind: (-kind[1], kind[0])):
        table.add_row(name, f"{count:,}")
    if outcome.kinds:
        screen.print(table)
    text = f"Nothing found in {outcome.sessions:,} sessions, {outcome.steps:,} steps"
    text += f" of {outcome.actions:,} device actions, {outcome.seconds:.0f} s"
    if outcome.out_of_time:
        text += " (the time was over first)"
    if not settings.replay:
        text += f"; again with FUZZ_SEED={settings.seed:#018x}"
    _say(screen, f"{text}.")


def failure(settings: Settings, finding: Finding, results: Path, screen: Console) -> None:
    """Says it and keeps it."""
    text = describe(settings, finding)
    _say(screen, text)
    results.mkdir(parents=True, exist_ok=True)
    log = finding.failure.log
    (results / FAILURE).write_text(f"{text}\n\nThe guest's log of it:\n\n{log}\n")
    shown = _most_telling(log, finding.failure.reason)
    _say(screen, "\n".join(["", "From the guest's log:", *(f"  {line}" for line in shown)]))
    kept = _short(results / FAILURE)
    _say(screen, f"\nKept: {kept}; all of the log: {_short(Path(finding.failure.log_file))}")


def describe(settings: Settings, finding: Finding) -> str:
    found = finding.failure
    lines = [f"FAILED: {found.kind.value}: {found.reason}"]
    if not settings.replay:
        lines.append(f"Run: FUZZ_SEED={settings.seed:#018x}")
    if found.session:
        step = "" if found.step is None else f", in step {found.step}"
        lines.append(f"Session: {found.session}{step}")
    else:
        lines.append(f"Session: not known, one of {len(found.before)}")
    lines += _history(settings, finding)
    lines += _steps(finding)
    lines.append(f"Replay: {command(settings, finding.sessions)}")
    if finding.how and found.session and finding.sessions != [found.session]:
        lines.append(f"The whole session: {command(settings, [found.session])}")
    return "\n".join(lines)


def command(settings: Settings, sessions: list[Session]) -> str:
    """What to type to have these sessions again."""
    words = ["make", "fuzz"]
    if settings.flavour != Settings.flavour:
        words.append(f"FUZZ_FLAVOUR={settings.flavour}")
    replay = "; ".join(str(session) for session in sessions)
    return f"{' '.join(words)} FUZZ_REPLAY={shlex.quote(replay)}"


def write(settings: Settings, outcome: Outcome, results: Path) -> None:
    report = {
        "seed": f"{settings.seed:#018x}",
        "flavour": settings.flavour,
        "sessions": outcome.sessions,
        "steps": outcome.steps,
        "actions": outcome.actions,
        "seconds": round(outcome.seconds, 1),
        "out_of_time": outcome.out_of_time,
        "kinds": dict(sorted(outcome.kinds.items())),
        "failure": outcome.failure.reason if outcome.failure else None,
    }
    write_json(results / RESULTS, report)


def _history(settings: Settings, finding: Finding) -> list[str]:
    if settings.replay:
        return []
    if not finding.how:
        return [f"Not reproduced alone, in {finding.replays} replays."]
    text = f"Again: {finding.how}."
    steps = [len(session.indexes) for session in finding.sessions]
    text += f" Shrunk to {sum(steps)} steps in {len(steps)} sessions"
    text += f" by {finding.replays} replays"
    text += "." if finding.finished else ", and then there was no more time for it."
    if not finding.confirmed:
        text += " The last replay did not fail: it depends on timing."
    return [text]


def _steps(finding: Finding) -> list[str]:
    if not finding.how or not finding.sessions:
        return []
    indexes = finding.sessions[-1].indexes
    unknown = "(not reached, or not said)"
    return [
        "Steps:" if len(finding.sessions) == 1 else "Steps of the last session:",
        *(f"  {index:4} {finding.descriptions.get(index, unknown)}" for index in indexes),
    ]


def _most_telling(log: str, reason: str) -> list[str]:
    """Some lines around the reason, or the last ones."""
    lines = log.splitlines()
    at = next((number for number, line in enumerate(lines) if reason in line), len(lines))
    start = max(0, min(at - _LOG_LINES // 3, len(lines) - _LOG_LINES))
    return lines[start : start + _LOG_LINES]


def _short(path: Path) -> Path:
    return path.relative_to(paths.ROOT) if path.is_relative_to(paths.ROOT) else path


def _say(screen: Console, text: str) -> None:
    screen.print(text, markup=False, highlight=False, soft_wrap=True)
