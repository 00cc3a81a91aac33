# SPDX-License-Identifier: GPL-2.0
"""Runs sessions in a guest, and notices when one goes wrong in any way."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.fuzz import guest_log, leaks
from tools.fuzz.failure import Failure, Kind
from tools.fuzz.sessions import Session
from tools.guest import console, drivers, paths, patience
from tools.guest.agent import AgentError, AgentSilent
from tools.guest.errors import ToolError
from tools.guest.guest import Guest
from tools.guest.machine import Machine

ENGINE = "/sys/kernel/debug/virtio_balloon_rs-fuzz"
# What one session may take, by the log of its start and that of the next one.
SESSION_S = 90.0
# The kernel says so itself when a task waits so long, and shows where: earlier than we give up.
_HUNG_TASK_S = 40.0
_POLL_S = 0.5
# How long what the kernel says about a problem may take to come.
_REST_OF_LOG_S = 5.0
_REFUSED = "Invalid argument"
# Each session on a line of its own; what is written is said, so that the one refused is known.
_ACTIONS = re.compile(r"^actions (\d+)$", re.MULTILINE)
_SCRIPT = """
while read -r line; do
    echo "$line"
    echo "$line" > {engine}/run || exit 1
done << END
{lines}
END
"""


def machine(flavour: str, seconds: float) -> Machine:
    """A guest without a balloon that lives so long; the device is played by the module."""
    return Machine(
        kernel=paths.kernel(flavour),
        modules={drivers.RUST_MODULE: paths.lookup(f"MODULE_{flavour.upper()}_KUNIT")},
        kasan=flavour == "kasan",
        balloon=None,
        append=(
            # The suites stay where they are.
            "kunit.enable=1",
            "kunit.autorun=0",
            # Each unbinding waits for RCU.
            "rcupdate.rcu_expedited=1",
            leaks.KERNEL_PARAMETER,
        ),
        deadline=seconds,
    )


class GuestExecutor:
    """One guest at a time, started when it is needed. Use as a context manager."""

    def __init__(self, machine: Machine, logs: Path, name: str) -> None:
        self._machine = machine
        self._logs = logs
        self._name = name
        self._starts = 0
        self._interrupted = False
        self._guest: Guest | None = None
        self._memory: leaks.Memory | None = None
        # Of the guest that there is.
        self._done: list[Session] = []
        self._counted: Counter[str] = Counter()
        self._descriptions: dict[int, str] = {}
        self._kinds: Counter[str] = Counter()
        self._actions = 0
        self._actions_counted = 0

    def __enter__(self) -> GuestExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.renew()

    def renew(self) -> None:
        guest, self._guest = self._guest, None
        if guest:
            guest.stop()
        self._done = []
        self._counted = Counter()
        self._actions_counted = 0

    def interrupt(self) -> None:
        self._interrupted = True
        if guest := self._guest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(guest.pid, signal.SIGKILL)

    def descriptions(self) -> dict[int, str]:
        return self._descriptions

    def kinds(self) -> dict[str, int]:
        return dict(self._kinds)

    def actions(self) -> int:
        """How many things the played devices did: one step may be several."""
        return self._actions

    @property
    def done(self) -> int:
        """How many sessions the guest has done."""
        return len(self._done)

    def run(self, sessions: Sequence[Session]) -> Failure | None:
        guest = self._ready()
        # The console is slower than the guest: what was traced comes late.
        traced = any(session.trace for session in sessions)
        start = len(_whole_log(guest) if traced else guest.log())
        lines = "\n".join(str(session) for session in sessions)
        number = guest.agent.post("run", script=_SCRIPT.format(engine=ENGINE, lines=lines))
        found = self._watch(guest, number, sessions, start)
        if traced:
            self._descriptions = guest_log.descriptions(_whole_log(guest)[start:])
        # After a first complaint of its own the kernel looks less closely.
        harmless = found is None or (found.kind is Kind.RULE and not self._problem(guest, start))
        steps = self._count(guest) if harmless else 0
        if found is None:
            wanted = sum(len(session.indexes) for session in sessions)
            if steps != wanted:
                raise ToolError(f"the engine did {steps} steps and not {wanted}")
            self._done += sessions
        elif not harmless:
            self.renew()
        return found

    def find_leaks(self) -> Failure | None:
        guest = self._guest
        if guest is None or self._memory is None or not self._done:
            return None
        what = leaks.missing(guest, self._memory)
        if what:
            reason, _, details = what.partition("\n")
            return Failure(
                Kind.LEAK,
                reason,
                before=tuple(self._done),
                log=details,
                log_file=str(guest.console_log),
            )
        if line := self._problem(guest):
            return self._failure(guest, Kind.LOG, guest_log.without_time(line), 0, line=line)
        return None

    def result(self) -> dict[str, int]:
        """The engine's own counts of sessions, steps and failures."""
        counts = {}
        for line in self._ready().agent.read(f"{ENGINE}/result").splitlines():
            match line.split():
                case [("sessions" | "steps" | "failures") as word, count]:
                    counts[word] = int(count)
        return counts

    def write(self, line: str) -> tuple[int, str]:
        """What comes of any line at all that is written to the engine."""
        return self._ready().agent.try_run(f"echo '{line}' > {ENGINE}/run")

    def _ready(self) -> Guest:
        if self._guest is None:
            self._starts += 1
            name = self._name if self._starts == 1 else f"{self._name}-{self._starts}"
            self._guest = guest = Guest(self._machine, self._logs, name)
            # Whoever interrupts kills the guest that is there, and that was not yet.
            if self._interrupted:
                raise ToolError("interrupted")
            guest.boot()
            self._prepare(guest)
        return self._guest

    def _prepare(self, guest: Guest) -> None:
        guest.insmod(drivers.RUST_MODULE)
        if guest.agent.try_run(f"ls {ENGINE}/run")[0]:
            raise ToolError(f"the module has no {ENGINE}: it is not the one with KUnit suites")
        hung = int(patience.seconds(_HUNG_TASK_S))
        guest.agent.run(f"echo {hung} > /proc/sys/kernel/hung_task_timeout_secs")
        leaks.forget(guest)
        self._memory = leaks.measure(guest)

    def _watch(
        self, guest: Guest, number: int, sessions: Sequence[Session], start: int
    ) -> Failure | None:
        """Waits until the sessions are done, or something is wrong."""
        begun = 0
        end = patience.until(SESSION_S)
        while True:
            answer = None
            try:
                answer = guest.agent.answer(number, _POLL_S)
            except AgentSilent:
                pass
            except AgentError as error:
                return self._failure(guest, Kind.SILENT, str(error), start, sessions)
            text = guest.log()[start:]
            line = self._problem(guest, start)
            # A rule first: what the kernel says is often a consequence of it.
            if answer and answer["code"]:
                return self._broken(guest, answer, sessions, start)
            if line:
                reason = guest_log.without_time(line)
                return self._failure(guest, Kind.LOG, reason, start, sessions, line)
            if answer:
                return None
            if _has_ended(guest):
                reason = "QEMU has ended, so the guest has panicked or rebooted"
                return self._failure(guest, Kind.GONE, reason, start, sessions)
            if (now := guest_log.sessions_begun(text)) > begun:
                begun = now
                end = patience.until(SESSION_S)
            if time.monotonic() > end:
                reason = f"no answer {patience.seconds(SESSION_S):.0f} s after the session's start"
                return self._failure(guest, Kind.SILENT, reason, start, sessions)

    def _broken(
        self, guest: Guest, answer: dict[str, Any], sessions: Sequence[Session], start: int
    ) -> Failure:
        """What it was that the engine did not accept."""
        said = f"{answer['out']}{answer['err']}".strip()
        if _REFUSED in said:
            raise ToolError(f"the engine refuses a session:\n{said}")
        end = patience.until(_REST_OF_LOG_S)
        while (broken := guest_log.complaint(guest.log()[start:])) is None:
            if time.monotonic() > end:
                last = said.splitlines()[-1] if said else "no word of why"
                return self._failure(guest, Kind.RULE, last, start, sessions)
            time.sleep(0.1)
        found = self._failure(guest, Kind.RULE, broken.reason, start, sessions, broken.line)
        return replace(found, step=broken.step)

    def _problem(self, guest: Guest, start: int = 0) -> str | None:
        return guest_log.problem(guest.log()[start:], console.problems(guest.console_log))

    def _failure(
        self,
        guest: Guest,
        kind: Kind,
        reason: str,
        start: int,
        sessions: Sequence[Session] = (),
        line: str | None = None,
    ) -> Failure:
        text = _whole_log(guest)[start:]
        at = guest_log.session_at(text, line, sessions)
        # Before the first of them began, it comes from the last one of those that were done.
        begun = [*self._done, *sessions[: 0 if at is None else at + 1]]
        session = begun.pop() if begun and sessions else None
        return Failure(
            kind,
            reason,
            session=session,
            before=tuple(begun),
            log=guest_log.excerpt(text, line),
            log_file=str(guest.console_log),
        )

    def _count(self, guest: Guest) -> int:
        """Adds what was done since the last time; returns how many steps that is."""
        actions = int(_ACTIONS.search(guest.agent.read(f"{ENGINE}/result"))[1])
        self._actions += actions - self._actions_counted
        self._actions_counted = actions
        now = self._read_kinds(guest)
        done = now - self._counted
        self._kinds += done
        self._counted = now
        return sum(done.values())

    def _read_kinds(self, guest: Guest) -> Counter[str]:
        found: Counter[str] = Counter()
        for line in guest.agent.read(f"{ENGINE}/result").splitlines():
            match line.split():
                case ["step", name, count]:
                    found[name] = int(count)
        return found


def _has_ended(guest: Guest) -> bool:
    try:
        guest.wait_for_exit(0)
    except ToolError:
        return False
    return True


def _whole_log(guest: Guest) -> str:
    """The log when nothing more comes."""
    end = patience.until(_REST_OF_LOG_S)
    text = guest.log()
    while time.monotonic() < end:
        time.sleep(0.7)
        before, text = text, guest.log()
        if before == text:
            break
    return text
