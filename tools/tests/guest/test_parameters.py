# SPDX-License-Identifier: GPL-2.0
"""Unknown parameter values."""

import pytest

from tools.guest import drivers, hinting
from tools.guest.initramfs import MODULES


def test_unknown_values(guests, machine):
    guest = guests.start(machine)
    for name, value in (
        ("free_page_hint", 7),
        ("free_page_walk_batch", 0),
        ("free_page_hint_order", 99),
    ):
        code, output = guest.agent.try_run(f"insmod {MODULES}/{drivers.RUST_MODULE} {name}={value}")
        assert code != 0, f"{name}={value} was taken"
        assert "Invalid" in output, output
        # One line that names the parameter and what it may be.
        guest.wait_for_log(f"{name}={value} is")
        assert "virtio_balloon_rs" not in guest.agent.run("lsmod")
    # Nothing of it is left in the way.
    drivers.HOLD.load(guest)
    assert hinting.one_round(guest).segments > 0


@pytest.mark.parametrize("parameters", ["free_page_hint=0"])
def test_off(guests, machine, parameters):
    guest = guests.start(machine)
    guest.insmod(drivers.RUST_MODULE, parameters)
    hinting.start(guest)
    guest.agent.run("sleep 1")
    hinting.migration.cancel(guest)
    assert guest.hint_traffic().elements == 0
