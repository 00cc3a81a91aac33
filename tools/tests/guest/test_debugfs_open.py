# SPDX-License-Identifier: GPL-2.0
"""A file of the driver in debugfs is open while its device or its module is to go. Check kernel."""

import pytest

from tools.guest import situations

DIRECTORY = "/sys/kernel/debug/virtio_balloon_rs-*"
# Opens a file and begins to read it; what comes next goes between this and _CLOSE.
_OPEN = "set -- {path}; exec 3< $1 || exit; read first <&3 || exit"
_CLOSE = "exec 3<&-"


@pytest.fixture(scope="module")
def guest(shared, machine):
    return shared.start(machine)


@pytest.fixture
def files(guest, driver):
    """The names of the driver's files; the driver is loaded, and is not afterwards."""
    driver.load(guest)
    yield guest.agent.run(f"set -- {DIRECTORY}; ls $1").split()
    driver.unload(guest)


def _while_open(guest, file, script):
    return guest.agent.run(f"{_OPEN.format(path=f'{DIRECTORY}/{file}')}; {script}; {_CLOSE}")


@pytest.mark.kasan
def test_unload(guest, driver, files):
    """The module stays as long as the file is open: what closes the file is part of it."""
    assert len(files) >= 6
    name = driver.module.removesuffix(".ko")
    for file in files:
        said = _while_open(guest, file, f"rmmod {name} 2>/dev/null && echo gone || echo busy")
        assert said.split() == ["busy"], file
        # And goes then.
        driver.unload(guest)
        driver.load(guest)


@pytest.mark.kasan
def test_unbind(guest, driver, files):
    """The device need not wait for it. What is read from then on is an error."""
    (device,) = guest.balloons()
    for file in files:
        said = _while_open(
            guest,
            file,
            f"echo {device} > {driver.sysfs}/unbind; cat <&3 2>/dev/null && echo more || echo error",
        )
        assert said.split() == ["error"], file
        situations.bind(guest, driver)
