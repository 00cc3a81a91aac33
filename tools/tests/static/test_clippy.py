# SPDX-License-Identifier: GPL-2.0
"""Clippy has nothing to say, with and without the KUnit suites, of what is built for the check kernel."""


def test_clippy(run, value):
    result = run("make", "clippy", KDIR=value("KDIR_CHECK"))
    assert result.returncode == 0, result.stdout + result.stderr
