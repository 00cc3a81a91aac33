# SPDX-License-Identifier: GPL-2.0
"""Wrong values of the module's parameters, each of them, and what switches hinting off."""

import pytest

from tools.docs import parameters
from tools.guest import drivers, hinting, paths
from tools.guest.initramfs import MODULES

# Values that are of the type, and out of range: the driver's own message says what would not be.
OUT_OF_RANGE = {
    "free_page_hint": (-2, 4),
    "free_page_hint_order": (-2, 11),
    "free_page_walk_batch": (0, 65537),
    "page_reporting_order": (-2, 11),
    "drop_caches": (4,),
    "drop_caches_wait_ms": (60001,),
}
# Values that are not: the kernel refuses them. Any number of seconds may be asked for.
NOT_OF_THE_TYPE = {
    "bool": ("maybe", "2"),
    "i32": ("few", "2147483648"),
    "u32": ("few", "-1", "4294967296"),
}


@pytest.fixture(scope="module")
def guest(shared, machine):
    return shared.start(machine)


def _refused(guest, given, message):
    guest.agent.run("dmesg -c >/dev/null")
    code, output = guest.agent.try_run(f"insmod {MODULES}/{drivers.RUST_MODULE} {given}")
    assert code != 0, f"{given} was taken"
    log = guest.agent.run("dmesg")
    assert message in log, f"{given}: {output}: {log}"
    assert "virtio_balloon_rs" not in guest.agent.run("lsmod")


def test_out_of_range(guest):
    """One line that names the parameter, the value, and what it may be."""
    for name, values in OUT_OF_RANGE.items():
        for value in values:
            _refused(guest, f"{name}={value}", f"virtio_balloon_rs: {name}={value} is ")
            assert ": use " in guest.agent.run("dmesg"), name


def test_every_parameter_refuses(guest):
    """What is not of its type; `NOT_OF_THE_TYPE` has all types that there are."""
    source = parameters.in_source(paths.ROOT)
    for name, (kind, _) in source.items():
        for value in NOT_OF_THE_TYPE[kind]:
            _refused(guest, f"{name}={value}", f"invalid for parameter `{name}'")
    unbounded = {name for name, (kind, _) in source.items() if kind != "bool"} - set(OUT_OF_RANGE)
    assert unbounded == {"drop_caches_interval_s"}


def test_it_loads_after_that(guest):
    """Nothing of what was refused is left in the way."""
    drivers.HOLD.load(guest)
    assert hinting.one_round(guest).segments > 0


@pytest.mark.parametrize("off", ["free_page_hint=0"])
def test_off(guests, machine, off):
    guest = guests.start(machine)
    guest.insmod(drivers.RUST_MODULE, off)
    hinting.start(guest)
    guest.agent.run("sleep 1")
    hinting.migration.cancel(guest)
    assert guest.hint_traffic().elements == 0
