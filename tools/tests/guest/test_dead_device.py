# SPDX-License-Identifier: GPL-2.0
"""A device that never answers a report of free pages: the guest gets on, in bounded time.

QEMU answers in the guest's own CPU thread, so a device that does not is played in the guest, by the
build with tests. The other things that the driver may wait for are in KUnit's
rust_virtio_balloon_mock_dead.
"""

import re
import time
from dataclasses import replace

import pytest

from tools.guest import drivers, paths

_COMMAND = "/sys/kernel/debug/virtio_balloon_rs-tests/dead_report"
_RESETS, _DOES_NOT_RESET = "1", "2"
_LIMIT_S = 10


@pytest.fixture
def guest(guests, machine, flavour):
    guest = guests.start(
        replace(
            machine,
            modules={drivers.RUST_MODULE: paths.lookup(f"MODULE_{flavour.upper()}_KUNIT")},
            append=("kunit.enable=1", "kunit.autorun=0"),
            balloon=None,
        )
    )
    guest.insmod(drivers.RUST_MODULE)
    return guest


def _timed(guest, script):
    """Runs a script, which must succeed; returns the seconds it took."""
    begin = time.monotonic()
    guest.agent.run(script)
    return time.monotonic() - begin


def _use_memory(guest):
    """Memory that the device may still have is not what anybody gets."""
    for seed in range(3):
        guest.agent.call("fill", 120, name="used", mib=256, seed=seed)
        guest.agent.call("verify", 120, name="used")
        guest.agent.call("drop", name="used")


def test_removal(guest):
    guest.agent.write(_COMMAND, _RESETS)
    assert _timed(guest, "rmmod virtio_balloon_rs") <= _LIMIT_S
    assert "are lost" not in guest.log()
    # The kernel has let go of the first reporter, or there could not be another one.
    guest.insmod(drivers.RUST_MODULE)
    guest.agent.write(_COMMAND, _RESETS)
    assert "another device has it" not in guest.log()


def test_suspend(guest):
    """The kernel's worker that waits for the device would keep the machine awake."""
    guest.agent.write(_COMMAND, _RESETS)
    guest.agent.write("/sys/power/pm_test", "freezer")
    # The kernel's own test of the freezer waits for five seconds when all is frozen.
    assert _timed(guest, "echo mem > /sys/power/state") <= _LIMIT_S + 5
    assert "has not answered a report of free pages" in guest.log()
    # The device is set up again, and reports again.
    status = guest.agent.read("/sys/bus/virtio/drivers/virtio_balloon_rs/virtio0/status")
    assert int(status, 16) == 0xF
    guest.agent.write(_COMMAND, _RESETS)
    assert "another device has it" not in guest.log()


def test_removal_of_a_device_that_does_not_reset(guest):
    guest.agent.write(_COMMAND, _DOES_NOT_RESET)
    before = guest.agent.meminfo()["MemFree"]
    assert _timed(guest, "rmmod virtio_balloon_rs") <= _LIMIT_S
    lost = re.search(r"did not complete its reset .*: (\d+) pages that it may still", guest.log())
    assert lost, "the log does not count what is lost"
    # A report is made of blocks of 2 MiB at least.
    assert int(lost[1]) >= 512
    assert guest.agent.meminfo()["MemFree"] < before + 1024
    _use_memory(guest)
