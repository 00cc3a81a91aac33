# SPDX-License-Identifier: GPL-2.0
"""The drivers and ways of reporting free memory that are compared."""

from __future__ import annotations

from dataclasses import replace

from tools.guest import drivers

BITMAP_O9 = replace(drivers.BITMAP, name="rust-bitmap-o9")
BITMAP_O0 = drivers.BITMAP_FINE
ALL = (drivers.C, drivers.HOLD, drivers.WALK, BITMAP_O9, BITMAP_O0)
# They allocate what they report.
ALLOCATING = (drivers.C, drivers.HOLD)
# Of blocks of this order the C driver allocates all that it can get.
C_ORDER = 10
