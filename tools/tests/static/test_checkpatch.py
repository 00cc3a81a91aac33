# SPDX-License-Identifier: GPL-2.0
"""The kernel's checkpatch.pl has nothing to say."""


def test_checkpatch(run):
    result = run("make", "checkpatch")
    assert result.returncode == 0, result.stdout + result.stderr
