# SPDX-License-Identifier: GPL-2.0
"""The documentation: how it is built, and what can be said of it without reading it."""
