# SPDX-License-Identifier: GPL-2.0
"""`python -m tools.bench`: measures the driver beside the kernel's own."""
