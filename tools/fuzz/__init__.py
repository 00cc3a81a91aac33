# SPDX-License-Identifier: GPL-2.0
"""`python -m tools.fuzz`: feeds the driver random sessions of a played device, in a guest."""
