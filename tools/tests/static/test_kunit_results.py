# SPDX-License-Identifier: GPL-2.0
"""How KUnit's results are read from a guest's log, and judged."""

import pytest

from tools.guest import kunit
from tools.guest.errors import ToolError
from tools.guest.ktap import Suite

LOG = """\
[    0.000000] Linux version 7.3.4
[    5.100000] KTAP version 1
[    5.100001] 1..2
[    5.100002]     KTAP version 1
[    5.100003]     # Subtest: rust_one
[    5.100004]     1..2
[    5.100005]     ok 1 first
[    5.200000] virtio_balloon_rs mock0: free page hinting: hold, order 9
[   15.100006]     not ok 2 second
[   15.100007] # rust_one: pass:1 fail:1 skip:0 total:2
[   15.100008] not ok 1 rust_one
[  115.100009]     # Subtest: rust_two
[  115.100010]     ok 1 third # SKIP not here
"""


def test_in_log():
    assert kunit.in_log(LOG) == [Suite("rust_one", 1, 0, ["second"]), Suite("rust_two", 0, 1, [])]


def test_required(tmp_path):
    suspend = "rust_virtio_balloon_mock_suspend"
    (tmp_path / ".config").write_text("CONFIG_PM_SLEEP=y\n")
    names = kunit.required(tmp_path)
    assert len(names) > 30 and suspend in names and "balloon" not in names
    (tmp_path / ".config").write_text("# CONFIG_PM_SLEEP is not set\nCONFIG_BALLOON_KUNIT_TEST=y\n")
    assert kunit.required(tmp_path) == names - {suspend} | {"balloon"}


def test_check():
    good = [Suite("one", 1), Suite("two", 0, 1)]
    required = {"one", "two"}
    kunit.Results(good, "").check(required)
    with pytest.raises(ToolError, match="one: second failed\nEXPECTATION"):
        bad = [Suite("one", 1, 0, ["second"]), good[1]]
        kunit.Results(bad, "ok 1 first\nEXPECTATION\n").check(required)
    with pytest.raises(ToolError, match="two did not run"):
        kunit.Results(good[:1], "").check(required)
    with pytest.raises(ToolError, match="two did not run"):
        kunit.Results([good[0], Suite("two")], "").check(required)
    with pytest.raises(ToolError, match="no suite ran"):
        kunit.Results([], "").check()
