# SPDX-License-Identifier: GPL-2.0
"""One QEMU process with a guest in it."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tools.guest import console, coverage, initramfs, paths, patience, resident, trace
from tools.guest.agent import Agent
from tools.guest.errors import ToolError
from tools.guest.machine import BALLOON_ID, Balloon, Machine
from tools.guest.monitor import Monitor

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


# When QEMU wakes a guest it resets its devices, and on q35 the firmware does not give the power
# management registers their address again (PMBASE and ACPI_CNTL of the LPC bridge). Without it the
# guest can go to sleep only once: it reads a register that is not there as "woken up already".
_SUSPEND = """
lpc=/sys/bus/pci/devices/0000:00:1f.0/config
dd if=$lpc of=/tmp/pmbase bs=4 skip=16 count=2 2>/dev/null || exit
echo mem > /sys/power/state
code=$?
dd if=/tmp/pmbase of=$lpc bs=4 seek=16 count=2 conv=notrunc 2>/dev/null
exit $code
"""


# The flags of a socket in /proc/net/unix.
_ACCEPTS_CONNECTIONS = "00010000"


def _is_listened_to(socket: Path) -> bool:
    """Whether somebody may connect: the file is there a moment earlier."""
    for line in Path("/proc/net/unix").read_text().splitlines():
        _, _, _, flags, _, _, _, *path = line.split()
        if path == [str(socket)] and flags == _ACCEPTS_CONNECTIONS:
            return True
    return False


def _die_with_parent() -> None:
    # Runs in the child before exec: a killed test run leaves no QEMU behind.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Guest:
    """Starts on construction; use as a context manager."""

    def __init__(
        self,
        machine: Machine,
        directory: Path,
        name: str,
        incoming: bool = False,
        paused: bool = False,
    ) -> None:
        machine = coverage.prepare(machine)
        self.machine = machine
        self.name = name
        self.console_log = directory / f"{name}.console.log"
        self.trace_log = directory / f"{name}.trace.log"
        self._stderr_log = directory / f"{name}.qemu.log"
        self._hints = trace.QueueCounter(self.trace_log, trace.FREE_PAGE_QUEUE)
        self._timed_out = False
        # The request that put the guest to sleep.
        self._suspension = 0
        self._monitor: Monitor | None = None
        self._agent: Agent | None = None
        directory.mkdir(parents=True, exist_ok=True)
        for log in (self.console_log, self.trace_log, self._stderr_log):
            log.unlink(missing_ok=True)
        # Sockets need short paths.
        self._private = tempfile.TemporaryDirectory(prefix="balloon-guest-")
        self._sockets = Path(self._private.name)

        image = self._sockets / "initramfs.gz"
        initramfs.build(image, machine.modules, machine.platform)
        command = [str(paths.lookup(machine.qemu)), *machine.arguments(image), *self._channels()]
        if incoming:
            command += ["-incoming", "defer"]
        if paused:
            command += ["-S"]
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
        self._watchdog = threading.Timer(patience.seconds(machine.deadline), self._expire)
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
        for event in trace.EVENTS + self.machine.trace:
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
        """Returns when the guest's agent is there; also for a guest that boots again."""
        try:
            self.agent.wait_for_hello(deadline)
        except ToolError as error:
            why = "its deadline passed" if self._timed_out else str(error)
            raise ToolError(f"{why}\n{console.tail(self.console_log)}") from error
        coverage.begin(self.insmod)

    def stand_still(self) -> None:
        """Stops all its CPUs until `cont()`."""
        self.monitor.command("stop")

    def cont(self) -> None:
        """Lets a guest run that stands still or was started `paused`."""
        self.monitor.command("cont")

    def reboot(self, deadline: float = 120.0) -> None:
        """Restarts the kernel; needs `Machine.reboot`. Returns when the guest is up again."""
        self.agent.post("run", script="reboot -f")
        self.boot(deadline)

    def suspend(self, deadline: float = 60.0) -> None:
        """Suspends the guest to RAM; only `wake()` may follow.

        The host cannot plug or unplug any more afterwards (the guest can eject): that takes more
        than the address of the registers.
        """
        self._suspension = self.agent.post("run", script=_SUSPEND)
        self._wait_for_status("suspended", deadline)

    def wake(self, deadline: float = 60.0) -> None:
        """Wakes the guest up, and returns when it runs again."""
        self.monitor.command("system_wakeup")
        # What the shell in the guest said to going to sleep.
        answer = self.agent.answer(self._suspension, deadline)
        if answer["code"]:
            raise ToolError(f"{self.name}: could not be suspended: {answer['err']}")

    def hibernate(self, deadline: float = 120.0) -> None:
        """Writes the guest's memory to its swap on `Machine.disk`; QEMU ends then.

        The next guest with this disk and the kernel parameter resume= goes on from there, after
        `agent.wake_up()` instead of `boot()`.
        """
        self.agent.post("run", script="echo disk > /sys/power/state")
        self.wait_for_exit(deadline)

    def wait_for_exit(self, deadline: float = 60.0) -> None:
        """Returns when QEMU has ended because the guest switched itself off."""
        if coverage.DIRECTORY:
            # It waits for us then.
            self._wait_for_status("shutdown", deadline)
            self._end()
        try:
            self._process.wait(patience.seconds(deadline))
        except subprocess.TimeoutExpired as error:
            raise ToolError(
                f"{self.name} is not off after {deadline:.0f} s\n{console.tail(self.console_log)}"
            ) from error

    def plug_balloon(self, device: Balloon | None = None) -> None:
        """Plugs a balloon into its port, the one of `machine.balloon` unless told otherwise."""
        device = device or self.machine.balloon
        assert device and device.hotplug
        self.monitor.command("device_add", **device.properties())
        self._wait(lambda: bool(self.balloons()), "have a balloon")

    def unplug_balloon(self) -> None:
        """The host takes the balloon away; it asks the guest to let go of it."""
        self.monitor.command("device_del", id=BALLOON_ID)
        self._wait(lambda: not self.has_balloon(), "let go of the balloon")

    def eject_balloon(self) -> None:
        """The guest has the balloon ejected: also during a migration, when QEMU refuses."""
        self.agent.run("for slot in /sys/bus/pci/slots/*; do echo 0 > $slot/power; done")
        self._wait(lambda: not self.has_balloon(), "eject the balloon")

    def has_balloon(self) -> bool:
        """Whether the balloon is there for the host."""
        devices = self.monitor.command("qom-list", path="/machine/peripheral")
        return any(device["name"] == BALLOON_ID for device in devices)

    def balloons(self) -> list[str]:
        """The balloons' names in the guest's /sys/bus/virtio/devices, as `virtio0`."""
        found = self.agent.run(
            "for device in /sys/bus/virtio/devices/*; do"
            " ! grep -q 0x0005 $device/device 2>/dev/null || basename $device; done"
        )
        return found.split()

    @property
    def pid(self) -> int:
        """QEMU's, which is also that of the thread with its main loop."""
        return self._process.pid

    def resident(self) -> resident.Resident:
        """What of the guest's memory is in use on the host."""
        return resident.read(self.pid)

    def resident_kib(self) -> int:
        return self.resident().kib

    def insmod(self, module: str, parameters: str = "", deadline: float = 60.0) -> None:
        self.agent.run(f"insmod {initramfs.MODULES}/{module} {parameters}".strip(), deadline)

    def wait_for_log(self, text: str, deadline: float = 20.0) -> None:
        end = patience.until(deadline)
        while text not in self.log():
            if time.monotonic() > end:
                raise ToolError(
                    f"{self.name}: no '{text}' in the log\n{console.tail(self.console_log)}"
                )
            time.sleep(0.1)

    def log(self) -> str:
        return self.console_log.read_text(errors="replace") if self.console_log.exists() else ""

    def hint_traffic(self) -> trace.QueueTraffic:
        return self._hints.read()

    def balloon_events(self) -> list[trace.Event]:
        """What the balloon's driver did so far, in order: status, notifications, config writes."""
        return trace.events(self.trace_log)

    def migration_socket(self) -> Path:
        return self._sockets / "migration"

    def stop(self) -> None:
        self._watchdog.cancel()
        if self._agent:
            self._agent.close()
            self._agent = None
        self._end()
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

    def _end(self) -> None:
        if self._process.poll() is None:
            coverage.save(self._monitor, self.name)
        # There is nothing in the guest worth an orderly shutdown.
        self._process.kill()
        self._process.wait(20)

    def _wait_for_status(self, wanted: str, deadline: float) -> None:
        self._wait(
            lambda: self.monitor.command("query-status")["status"] == wanted,
            f"become {wanted}",
            deadline,
        )

    def _wait(self, condition: Callable[[], bool], what: str, deadline: float = 30.0) -> None:
        end = patience.until(deadline)
        while not condition():
            if time.monotonic() > end:
                raise ToolError(
                    f"{self.name}: the guest did not {what} within {deadline:.0f} s\n"
                    f"{console.tail(self.console_log)}"
                )
            time.sleep(0.05)

    def _expire(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _wait_for_socket(self, path: Path) -> None:
        end = patience.until(20)
        while not _is_listened_to(path):
            if self._process.poll() is not None or time.monotonic() > end:
                raise ToolError(
                    f"{self.name}: QEMU did not start; its output:\n"
                    f"{console.tail(self._stderr_log, 5)}"
                )
            time.sleep(0.02)
