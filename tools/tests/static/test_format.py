# SPDX-License-Identifier: GPL-2.0
"""All Rust source is as rustfmt would have it."""


def test_format(run):
    result = run("make", "fmt-check")
    assert result.returncode == 0, result.stdout + result.stderr
