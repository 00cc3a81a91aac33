# SPDX-License-Identifier: GPL-2.0
"""The sample driver for the virtio entropy device: bytes arrive, and it goes while one waits."""

import time
from dataclasses import replace

import pytest

from tools.guest import patience, samples

NAME = samples.RNG.removesuffix(".ko")
DRIVER = f"/sys/bus/virtio/drivers/{NAME}"
REQUEST_BYTES = 64

# One that always answers, and one that answers once and then not for as long as a test takes.
WILLING = "-object rng-builtin,id=rng0 -device virtio-rng-pci,rng=rng0"
RELUCTANT = f"-device virtio-rng-pci,rng=rng0,max-bytes={REQUEST_BYTES},period=3600000"


@pytest.fixture(scope="module")
def guest(shared, machine, flavour):
    extra = tuple(f"{WILLING} {RELUCTANT}".split())
    modules = samples.modules(flavour)
    guest = shared.start(
        replace(machine, modules=modules, memory_mib=512, balloon=None, extra=extra)
    )
    # The answer that the reluctant one has, so that all tests find it without.
    guest.insmod(samples.RNG)
    assert len(_read(guest, _devices(guest)[1])) == REQUEST_BYTES
    guest.agent.run(f"rmmod {NAME}")
    return guest


@pytest.fixture
def devices(guest):
    """The willing one and the reluctant one, as `virtio0`, with the driver."""
    guest.insmod(samples.RNG)
    yield _devices(guest)
    guest.agent.run(f"rmmod {NAME}")


def _devices(guest):
    """In the order of the command line, which is that of their slots."""
    found = guest.agent.run(f"cd {DRIVER}; for d in virtio*; do readlink $d; done").split()
    assert len(found) == 2
    return [path.rpartition("/")[2] for path in sorted(found)]


def _file(device):
    return f"/sys/kernel/debug/{NAME}-{device}/bytes"


def _read(guest, device):
    """What one read of the file gives."""
    (line,) = guest.agent.run(f"cat {_file(device)}").splitlines()
    return bytes.fromhex(line)


def _until(guest, condition, what):
    end = patience.until(20)
    while not condition():
        assert time.monotonic() < end, f"{what}: {guest.agent.run('cat /tmp/error; dmesg | tail')}"
        time.sleep(0.05)


def _is_waiting(guest, pid):
    look = f"cat /proc/{pid}/stack; grep State /proc/{pid}/status"
    text = guest.agent.try_run(look)[1]
    return "seq_read" in text and "sleeping" in text


def _start_reader(guest, device):
    """A process that waits for bytes; returns its number when it does."""
    pid = guest.agent.run(f"cat {_file(device)} >/tmp/bytes 2>/tmp/error & echo $!").strip()
    _until(guest, lambda: _is_waiting(guest, pid), "a reader waits")
    return pid


def _wait_for_end(guest, pid):
    """Returns what the reader has said."""
    _until(guest, lambda: guest.agent.try_run(f"test -d /proc/{pid}")[0], "the reader ends")
    assert guest.agent.read("/tmp/bytes") == ""
    return guest.agent.read("/tmp/error")


def test_bytes_arrive(guest, devices):
    found = [_read(guest, devices[0]) for _ in range(4)]
    for content in found:
        assert len(content) == REQUEST_BYTES
        assert len(set(content)) > REQUEST_BYTES // 4
    assert len(set(found)) == len(found)


def test_a_signal_ends_the_wait(guest, devices):
    """And the request that is left over does for the next reader; one waits at a time."""
    willing, reluctant = devices
    pid = _start_reader(guest, reluctant)
    code, output = guest.agent.try_run(f"cat {_file(reluctant)}")
    assert code
    assert "busy" in output
    # One that waits is in nobody else's way.
    assert _read(guest, willing)
    guest.agent.run(f"kill {pid}")
    _wait_for_end(guest, pid)
    guest.agent.run(f"kill {_start_reader(guest, reluctant)}")


def test_the_device_goes_while_somebody_waits(guest, devices):
    willing, reluctant = devices
    pid = _start_reader(guest, reluctant)
    # What debugfs does when a file is closed is code of the module, so that stays.
    assert guest.agent.try_run(f"rmmod {NAME}")[0]
    guest.agent.write(f"{DRIVER}/unbind", reluctant)
    assert "No such device" in _wait_for_end(guest, pid)
    assert guest.agent.try_run(f"ls {_file(reluctant)}")[0]
    assert _read(guest, willing)
    guest.agent.write(f"{DRIVER}/bind", reluctant)
    guest.agent.run(f"kill {_start_reader(guest, reluctant)}")


def test_the_module_goes_while_a_request_waits(guest, devices):
    """Nobody waits for the bytes any more, but the device has the buffer."""
    _, reluctant = devices
    pid = _start_reader(guest, reluctant)
    guest.agent.run(f"kill {pid}")
    _wait_for_end(guest, pid)
    guest.agent.run(f"rmmod {NAME}")
    assert NAME not in guest.agent.run("lsmod; ls /sys/kernel/debug")
    guest.insmod(samples.RNG)
    assert len(_read(guest, devices[0])) == REQUEST_BYTES
