# SPDX-License-Identifier: GPL-2.0
"""`python -m tools.demo`: migrates guests with and without free page hinting and compares."""
