# SPDX-License-Identifier: GPL-2.0
"""The patched QEMU: its own tests of the balloon, and what goes wrong when it is built."""

import shutil
from pathlib import Path

import pytest

SETUP = Path("tools/setup/qemu-patched.sh")
PREFIX = "virtio-balloon-rs: error: "
DSC = "qemu_{version}+ds-1.dsc"


def _the_error(result):
    assert result.returncode == 1, result.stdout + result.stderr
    found = [line for line in result.stderr.splitlines() if line.startswith(PREFIX)]
    assert len(found) == 1, result.stderr
    return found[0].removeprefix(PREFIX)


@pytest.fixture
def describe(tmp_path: Path, cache: Path):
    """Makes a description of a source package that says so and so, in a cache without source."""
    (cache / "state/qemu-source.env").unlink()

    def describe(version: str, archive: str, checksum: str = "0" * 64) -> Path:
        dsc = tmp_path / DSC.format(version=version)
        dsc.write_text(f"Format: 3.0 (quilt)\nChecksums-Sha256:\n {checksum} 1 {archive}\n")
        return dsc

    return describe


def test_device(run):
    """QEMU's own tests of the device, without a guest."""
    result = run("bash", "tools/qemu/qtest.sh")
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    for feature in ("bitmap", "extents"):
        assert any(line.startswith("ok ") and feature in line for line in lines), result.stdout
    assert not any(line.startswith("not ok") for line in lines), result.stdout


def test_too_little_disk(run, cache):
    """Nothing is left of a build that could not begin."""
    result = run("bash", SETUP, XDG_CACHE_HOME=cache.parent, VBRS_MIN_DISK_MIB="999999999")
    assert "999999999 MiB needed" in _the_error(result)
    assert not (cache / "qemu").exists()


def test_other_version(run, cache, describe):
    dsc = describe("11.0.0", "qemu_11.0.0+ds.orig.tar.xz")
    result = run("bash", SETUP, XDG_CACHE_HOME=cache.parent, VBRS_QEMU_DSC=dsc)
    assert "the patches are for 10.0" in _the_error(result)


def test_broken_download(run, cache, describe):
    archive = "qemu_10.0.13+ds.orig.tar.xz"
    dsc = describe("10.0.13", archive)
    assert "is missing" in _the_error(
        run("bash", SETUP, XDG_CACHE_HOME=cache.parent, VBRS_QEMU_DSC=dsc)
    )
    (dsc.parent / archive).write_bytes(b"?")
    result = run("bash", SETUP, XDG_CACHE_HOME=cache.parent, VBRS_QEMU_DSC=dsc)
    assert "broken download?" in _the_error(result)


def test_patch_does_not_apply(run, cache, tree, tmp_path):
    """The message has the patch's name; what is half-built is not taken for whole."""
    other = tmp_path / "checkout"
    for part in ("tools/setup", "tools/qemu"):
        shutil.copytree(tree / part, other / part)
    for patch in (other / "tools/qemu/patches").iterdir():
        patch.unlink()
    bad = "--- a/no/such/file\n+++ b/no/such/file\n@@ -1 +1 @@\n-this\n+that\n"
    (other / "tools/qemu/patches/0001-bad.patch").write_text(bad)
    script = other / SETUP
    result = run("bash", script, XDG_CACHE_HOME=cache.parent, VBRS_MIN_MEMORY_MIB="1")
    assert "0001-bad.patch does not apply" in _the_error(result)
    assert not list((cache / "qemu").glob("*/.complete"))
