# SPDX-License-Identifier: GPL-2.0
"""A plugin for pytest: all deadlines of guests are shorter, as many a fault makes a guest hang.

Without a fault every test has to pass with these, too, which is looked at first.
"""

import pytest

from tools.guest import patience

FACTOR = 0.5


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    patience.set_factor(FACTOR)
