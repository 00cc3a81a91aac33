# SPDX-License-Identifier: GPL-2.0
"""Clippy has nothing to say of what the check kernel gets, with and without KUnit suites."""


def test_clippy(run, value):
    result = run("make", "clippy", KDIR=value("KDIR_CHECK"))
    assert result.returncode == 0, result.stdout + result.stderr
