# SPDX-License-Identifier: GPL-2.0
"""The module and the samples hold no code that can panic, and the check for it would notice."""

from pathlib import Path

import pytest

CHECK = Path("tools/checks/panic_free.py")


def test_module(run, value):
    result = run(value("PYTHON"), CHECK, value("MODULE_CHECK"))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["rust_free_blocks.ko", "rust_virtio_rng.ko"])
def test_samples(run, value, name):
    result = run(value("PYTHON"), CHECK, Path(value("SAMPLES_CHECK")) / name)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("symbol", "readable"),
    [
        ("_RNvNtCs2DxGA1hvVcO_4core9panicking5panic", "core::panicking::panic"),
        ("_RNvNtCs2DxGA1hvVcO_4core6option13unwrap_failed", "core::option::unwrap_failed"),
        ("_RNvNtNtCs2DxGA1hvVcO_4core5slice5index16slice_index_fail", "core::slice::index::slice_index_fail"),
        ("_ZN4core9panicking9panic_fmt17h0123456789abcdefE", "core::panicking::panic_fmt"),
        ("rust_build_error", "rust_build_error"),
    ],
)
@pytest.mark.parametrize("defined", [False, True], ids=["called", "held"])
def test_panic_is_noticed(run, value, tmp_path, symbol, readable, defined):
    source = tmp_path / "probe.c"
    source.write_text(f"void {symbol}(void){' { }' if defined else ';'} void probe(void) {{ {symbol}(); }}\n")
    probe = source.with_suffix(".o")
    built = run("cc", "-c", source, "-o", probe)
    assert built.returncode == 0, built.stderr

    result = run(value("PYTHON"), CHECK, probe)
    assert result.returncode == 1
    assert readable in result.stderr


def test_our_own_failures_are_fine(run, value, tmp_path):
    """A function of ours may be named after a failure."""
    source = tmp_path / "probe.c"
    source.write_text("void _RNvNtCs2DxGA1hvVcO_14virtio_balloon4walk11walk_failed(void) { }\n")
    probe = source.with_suffix(".o")
    assert run("cc", "-c", source, "-o", probe).returncode == 0

    result = run(value("PYTHON"), CHECK, probe)
    assert result.returncode == 0, result.stderr


def test_unreadable_module_does_not_pass(run, value, tmp_path):
    (tmp_path / "empty.ko").touch()
    for module in (tmp_path / "empty.ko", tmp_path / "missing.ko"):
        result = run(value("PYTHON"), CHECK, module)
        assert result.returncode == 2
        assert "panic_free: error:" in result.stderr
