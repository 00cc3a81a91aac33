# SPDX-License-Identifier: GPL-2.0
"""`python -m tools.soak`: migrates guests to and fro under churn and compares every page."""
