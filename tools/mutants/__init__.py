# SPDX-License-Identifier: GPL-2.0
"""The mutation check: faults are put into the driver on purpose, and a test has to notice each."""
