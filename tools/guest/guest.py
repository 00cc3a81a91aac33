# SPDX-License-Identifier: GPL-2.0
"""One QEMU process with a guest in it."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

from tools.guest import console, initramfs, paths, trace
from tools.guest.agent import Agent
from tools.guest.errors import ToolError
from tools.guest.machine import Machine
from tools.guest.monitor import Monitor

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    # Runs in the child before exec: a killed test run leaves no QEMU behind.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Guest:
    """Starts on construction; use as a context manager."""

    def __init__(
        self, machine: Machine, directory: Path, name: str, incoming: bool = False
    ) -> None:
        self.machine = machine
        self.name = name
        self.console_log = directory / f"{name}.console.log"
        self.trace_log = directory / f"{name}.trace.log"
        self._stderr_log = directory / f"{name}.qemu.log"
        self._timed_out = False
        self._monitor: Monitor | None = None
        self._agent: Agent | None = None
        directory.mkdir(parents=True, exist_ok=True)
        for log in (self.console_log, self.trace_log, self._stderr_log):
            log.unlink(missing_ok=True)
        # Sockets need short paths.
        self._private = tempfile.TemporaryDirectory(prefix="balloon-guest-")
        self._sockets = Path(self._private.name)

        image = self._sockets / "initramfs.gz"
        initramfs.build(image, machine.modules)
        command = [str(paths.lookup("QEMU")), *machine.arguments(image), *self._channels()]
        if incoming:
            command += ["-incoming", "defer"]
        with self._stderr_log.open("wb") as output:
            output.write((" ".join(command) + "\n").encode())
            output.flush()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (does nothing but one system call)
            )
        self._watchdog = threading.Timer(machine.deadline, self._expire)
        self._watchdog.daemon = True
        self._watchdog.start()
        try:
            self._wait_for_socket(self._sockets / "qmp")
            self._monitor = Monitor(self._sockets / "qmp", name)
            self._agent = Agent(self._sockets / "agent", name)
        except BaseException:
            self.stop()
            raise

    def _channels(self) -> list[str]:
        arguments = [
            "-chardev", f"file,id=console,path={self.console_log}",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=agent,path={self._sockets}/agent,server=on,wait=off",
            "-serial", "chardev:agent",
            "-qmp", f"unix:{self._sockets}/qmp,server=on,wait=off",
            "-D", str(self.trace_log),
        ]  # fmt: skip
        for event in trace.EVENTS:
            arguments += ["-trace", event]
        return arguments

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            raise ToolError(f"{self.name}: the guest is stopped")
        return self._agent

    @property
    def monitor(self) -> Monitor:
        if self._monitor is None:
            raise ToolError(f"{self.name}: the guest is stopped")
        return self._monitor

    def boot(self, deadline: float = 120.0) -> None:
        """Returns when the guest's agent is there."""
        try:
            self.agent.wait_for_hello(deadline)
        except ToolError as error:
            why = "its deadline passed" if self._timed_out else str(error)
            raise ToolError(f"{why}\n{console.tail(self.console_log)}") from error

    def insmod(self, module: str, parameters: str = "", deadline: float = 60.0) -> None:
        self.agent.run(f"insmod {initramfs.MODULES}/{module} {parameters}".strip(), deadline)

    def wait_for_log(self, text: str, deadline: float = 20.0) -> None:
        end = time.monotonic() + deadline
        while text not in self.log():
            if time.monotonic() > end:
                raise ToolError(
                    f"{self.name}: no '{text}' in the log\n{console.tail(self.console_log)}"
                )
            time.sleep(0.1)

    def log(self) -> str:
        return self.console_log.read_text(errors="replace") if self.console_log.exists() else ""

    def hint_traffic(self) -> trace.HintTraffic:
        return trace.count(self.trace_log)

    def migration_socket(self) -> Path:
        return self._sockets / "migration"

    def stop(self) -> None:
        self._watchdog.cancel()
        if self._agent:
            self._agent.close()
            self._agent = None
        # There is nothing in the guest worth an orderly shutdown.
        self._process.kill()
        self._process.wait(20)
        if self._monitor:
            self._monitor.close()
            self._monitor = None
        self._private.cleanup()

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stop()

    def _expire(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _wait_for_socket(self, path: Path) -> None:
        end = time.monotonic() + 20
        while not path.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise ToolError(
                    f"{self.name}: QEMU did not start; its output:\n"
                    f"{console.tail(self._stderr_log, 5)}"
                )
            time.sleep(0.02)
