# SPDX-License-Identifier: GPL-2.0
"""Says which lines of the module the tests reach."""
