# SPDX-License-Identifier: GPL-2.0
"""Options and markers of all tests. Fixtures are in the folders below."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.guest import drivers, paths, patience

# Under TCG the kasan kernel is about this much slower than the check kernel.
SLOWER = {"check": 1, "kasan": 6, "arm64": 1, "arm64-64k": 1}
# So is a guest beside which another file's guests run (pytest-xdist).
SLOWER_BESIDE_OTHERS = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--flavour",
        choices=list(SLOWER),
        default="check",
        help="the kernel that guests run (default: check)",
    )
    parser.addoption(
        "--driver",
        choices=list(drivers.STOCK),
        default=drivers.HOLD.name,
        help="what the fixture `driver` is; with c, the kernel's C driver, a test is a control",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kasan: part of `make check-kasan`, too")
    config.addinivalue_line("markers", "arm64: part of `make check-arm64`, too")
    config.addinivalue_line("markers", "arm64_4k: the same, but only with pages of 4 KiB")
    flavour = config.getoption("--flavour")
    assert flavour in paths.KERNELS
    others = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1
    patience.set_factor(SLOWER[flavour] * (SLOWER_BESIDE_OTHERS if others else 1))
