# SPDX-License-Identifier: GPL-2.0
"""What is installed beside the module: which driver gets the device, and the way back."""

from dataclasses import replace

import pytest

from tools.guest import drivers, hinting, installed
from tools.guest.installed import CONF, RULES, TOOL

C, RUST = "virtio_balloon", "virtio_balloon_rs"


@pytest.fixture(scope="module")
def guest(shared, machine):
    """A guest whose modules are installed, with the tool at its place."""
    guest = shared.start(replace(machine, modules={**machine.modules, **installed.files()}))
    installed.install(guest)
    return guest


@pytest.fixture(autouse=True)
def nothing_loaded(guest):
    guest.agent.run(f"rmmod {RUST} {C} 2>/dev/null; rm -rf /etc/modprobe.d/* /etc/udev; true")


def _refused(guest, arguments, code):
    found, output = guest.agent.try_run(f"/usr/sbin/{TOOL} {arguments}")
    assert found == code, output
    return output


def test_status(guest):
    assert installed.choose(guest, "status").splitlines()[0] == "virtio0: no driver"
    guest.agent.run(f"modprobe {C}")
    lines = installed.choose(guest, "status").splitlines()
    release = guest.agent.run("uname -r").strip()
    assert lines == [f"virtio0: {C}", f"chosen: {RUST}", f"{RUST}: there for {release}"]


def test_take_and_give(guest):
    """There and back while the guest runs, and again; hints are answered each time."""
    guest.agent.run(f"modprobe {C}")
    for _ in range(2):
        assert f"virtio0: {RUST}" in installed.choose(guest, "take")
        assert drivers.bound(guest) == RUST
        assert hinting.one_round(guest).segments > 0
        assert f"no balloon has the driver {C}" in installed.choose(guest, "take virtio0")
        assert f"virtio0: {C}" in installed.choose(guest, "give virtio0")
        assert drivers.bound(guest) == C
        assert hinting.one_round(guest).segments > 0


def test_given_back_it_stays(guest):
    """udev, which is not in this guest, must not take it again; make check-debian has it."""
    guest.agent.run(f"modprobe {C}; modprobe {RUST}; mkdir -p /run/udev")
    given = f"/run/udev/rules.d/{RULES}"
    try:
        installed.choose(guest, "give")
        assert guest.agent.run(f"readlink {given}").strip() == "/dev/null"
        assert f"chosen: {RUST}" in installed.choose(guest, "status")
        installed.choose(guest, "take")
        assert guest.agent.try_run(f"test -e {given} -o -L {given}")[0] == 1
    finally:
        guest.agent.run("rm -rf /run/udev")


def test_choice(guest):
    """It lasts: a file of the same name hides what makes our driver come first."""
    guest.agent.run(f"modprobe {C}")
    installed.choose(guest, "c")
    assert f"chosen: {C}" in installed.choose(guest, "status")
    assert drivers.bound(guest) == C
    assert f"blacklist {RUST}" in guest.agent.read(f"/etc/modprobe.d/{CONF}")
    assert guest.agent.run(f"readlink /etc/udev/rules.d/{RULES}").strip() == "/dev/null"
    # The device's alias is that of both drivers: it is what udev asks for.
    guest.agent.run(f"rmmod {C}; modprobe -b $(cat /sys/bus/virtio/devices/virtio0/modalias)")
    assert RUST not in guest.agent.run("lsmod").split()

    assert f"chosen: {RUST}" in installed.choose(guest, "rust")
    assert drivers.bound(guest) == RUST
    assert guest.agent.run("ls /etc/modprobe.d /etc/udev/rules.d | grep -c balloon; true") == "0\n"


def test_wrong_parameters_leave_the_device(guest):
    """If our driver does not load, the device stays where it was."""
    guest.agent.run(f"modprobe {C}; echo 'options {RUST} drop_caches=9' >/etc/modprobe.d/our.conf")
    output = _refused(guest, "take", 1)
    assert "cannot be loaded" in output
    assert f"{C} keeps virtio0" in output
    assert drivers.bound(guest) == C


def test_not_for_this_kernel(guest):
    guest.agent.run(f"modprobe {C}")
    release = guest.agent.run("uname -r").strip()
    guest.agent.run(f"cd /lib/modules/{release}; mv {RUST}.ko /tmp; depmod")
    try:
        assert f"{RUST}: not there for {release}" in installed.choose(guest, "status")
        assert f"{C} keeps virtio0" in _refused(guest, "take", 1)
        assert drivers.bound(guest) == C
    finally:
        guest.agent.run(f"mv /tmp/{RUST}.ko /lib/modules/{release}; depmod")


def test_what_is_not_ours_stays(guest):
    """A file that somebody else wrote, and what is asked for wrongly."""
    guest.agent.run(f"modprobe {C}; echo 'blacklist nothing' >/etc/modprobe.d/{CONF}")
    assert "is not this program's" in _refused(guest, "c", 1)
    assert guest.agent.read(f"/etc/modprobe.d/{CONF}") == "blacklist nothing\n"
    assert "there is no device virtio77" in _refused(guest, "take virtio77", 1)
    assert "is no device" in _refused(guest, "take ../0", 1)
    for arguments in ("", "perl", "status now", "take virtio0 virtio1"):
        assert "usage: virtio-balloon-driver COMMAND" in _refused(guest, arguments, 2)
