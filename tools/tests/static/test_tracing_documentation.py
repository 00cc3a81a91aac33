# SPDX-License-Identifier: GPL-2.0
"""The documentation has the tracepoints and fields of the C header. What a kernel makes of that
header is compared in tools/tests/guest/test_tracing.py."""

from tools.guest import tracing


def test_documentation():
    declared = tracing.declared()
    assert len(declared) >= 12 and all(declared.values())
    assert tracing.documented() == declared
