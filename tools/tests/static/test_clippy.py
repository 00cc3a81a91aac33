# SPDX-License-Identifier: GPL-2.0
"""Clippy has nothing to say, with and without the KUnit suites."""


def test_clippy(run):
    result = run("make", "clippy")
    assert result.returncode == 0, result.stdout + result.stderr
