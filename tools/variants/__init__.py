# SPDX-License-Identifier: GPL-2.0
"""Builds the module for kernels that are configured otherwise, and tries some of them."""
