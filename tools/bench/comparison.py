# SPDX-License-Identifier: GPL-2.0
"""Drivers as benchmarks compare them where it does not matter how they tell of free pages."""

from __future__ import annotations

from tools.guest import drivers
from tools.guest.drivers import RUST_MODULE, Driver

C = drivers.C
RUST = Driver("rust", RUST_MODULE)
# The module's parameter, and the device's property.
EXTENTS_NAME = "extents"
EXTENTS = Driver("rust-extents", RUST_MODULE, f"{EXTENTS_NAME}=1")
