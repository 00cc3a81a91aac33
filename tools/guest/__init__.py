# SPDX-License-Identifier: GPL-2.0
"""Runs guests in QEMU and migrates them."""
