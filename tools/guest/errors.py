# SPDX-License-Identifier: GPL-2.0
"""The one exception whose message is meant for the person at the terminal."""


class ToolError(Exception):
    """Something is missing or went wrong; the message says what to do about it."""
