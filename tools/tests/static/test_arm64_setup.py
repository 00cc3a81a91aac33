# SPDX-License-Identifier: GPL-2.0
"""tools/setup/arm64.sh where something is missing: one message that says what to do."""

import os
from pathlib import Path

import pytest

SCRIPT = Path("tools/setup/arm64.sh")
PREFIX = "virtio-balloon-rs: error: "
TARGET = "aarch64-unknown-linux-gnu"


def _the_error(result):
    assert result.returncode == 1, result.stdout + result.stderr
    (found,) = [line for line in result.stderr.splitlines() if line.startswith(PREFIX)]
    return found.removeprefix(PREFIX)


@pytest.fixture
def sysroot(tmp_path):
    """That of the compiler which `setup` finds."""
    return tmp_path / "sysroot"


@pytest.fixture
def setup(run, fake, cache, sysroot):
    """Runs the script with programs of ours: no guest's QEMU, no archive, and no root."""
    rustc = fake("rustc", f"echo {sysroot}") / "rustc"
    fake("qemu-system-aarch64", "echo QEMU emulator version 9.0.4")
    fake("apt-get", "echo 'E: Unable to fetch' >&2; exit 100")
    fake("id", "echo 1000")
    fake("sudo", "exit 1")
    (cache / "state/toolchain.env").write_text(f"FOUND_RUSTC={rustc}\n")
    system = cache / "os-release"
    system.write_text('ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n')

    def setup(**changes):
        path = f"{rustc.parent}{os.pathsep}{os.environ['PATH']}"
        changes = {"XDG_CACHE_HOME": cache.parent, "VBRS_OS_RELEASE": system, "PATH": path} | changes
        return run(SCRIPT, **changes)

    return setup


@pytest.fixture
def qemu(fake):
    """One that is new enough."""
    return fake("new-qemu", "echo QEMU emulator version 9.1.0") / "new-qemu"


def test_no_toolchain(setup, tmp_path):
    assert "run 'make check-arm64'" in _the_error(setup(XDG_CACHE_HOME=tmp_path / "empty"))


def test_old_qemu_and_no_root(setup):
    message = _the_error(setup())
    assert "qemu-system-aarch64 9.1 or newer is missing" in message
    assert "apt-get install -y --no-install-recommends qemu-system-arm" in message


def test_no_library_for_arm64(setup, qemu):
    """Of a compiler that is not Debian's the set-up does not know where to get it."""
    assert f"rustup target add {TARGET}" in _the_error(setup(VBRS_QEMU_ARM64=qemu))


def test_no_network(setup, qemu, sysroot, cache):
    (sysroot / "lib/rustlib" / TARGET / "lib").mkdir(parents=True)
    message = _the_error(setup(VBRS_QEMU_ARM64=qemu))
    assert "the download of busybox-static:arm64 libc6-dev:arm64" in message
    assert "libstd" not in message
    assert "Is the package archive reachable" in message
    assert not list(cache.glob("tools/arm64-*"))
