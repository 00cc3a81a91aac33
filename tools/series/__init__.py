# SPDX-License-Identifier: GPL-2.0
"""The tree as a series of patches for the kernel: `python -m tools.series`."""
