# SPDX-License-Identifier: GPL-2.0
"""Free memory as a picture, by what the sample rust_free_blocks shows."""
