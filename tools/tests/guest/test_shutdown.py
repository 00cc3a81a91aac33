# SPDX-License-Identifier: GPL-2.0
"""The guest is switched off or restarted in every situation the balloon may be in. Check kernel.

A balloon that is emptied first would make that slow, and a driver that goes on working would use a
device that was reset. The log must be clean to its end.
"""

from dataclasses import replace

import pytest

from tools.guest import situations
from tools.guest.machine import Balloon

LAST_WORDS = {"poweroff": "reboot: Power down", "reboot": "reboot: Restarting system"}


@pytest.mark.kasan
@pytest.mark.parametrize(
    ("command", "name"),
    [*(("poweroff", name) for name in situations.NAMES), ("reboot", "inflated")],
)
def test_shutdown(guests, machine, driver, command, name):
    guest = guests.start(replace(machine, balloon=Balloon(free_page_reporting=True)))
    driver.load(guest)
    situations.enter(guest, name)
    guest.agent.post("run", script=f"{command} -f")
    guest.wait_for_exit(30)
    assert LAST_WORDS[command] in guest.log()
