# SPDX-License-Identifier: GPL-2.0
"""One module each: ABOUT, CHARTS, run() and bars() (tools/bench/suite.py)."""
