# SPDX-License-Identifier: GPL-2.0
"""The documentation has the tracepoints and fields of the C header. What a kernel makes of that
header is compared in tools/tests/guest/test_tracing.py."""

import re

from tools.guest import paths, tracing

UAPI = paths.ROOT / "include/uapi/linux/virtio_balloon_bitmap.h"


def test_documentation():
    declared = tracing.declared()
    assert len(declared) >= 12 and all(declared.values())
    assert tracing.documented() == declared


def test_words():
    """The documentation, the header and the driver have the same words for the same numbers."""
    declared = tracing.declared_words()
    assert len(declared) >= 8
    assert tracing.documented_words() == declared
    driver = tracing.driver_words()
    assert len(driver) >= 6
    for name, words in driver.items():
        assert words in declared.values(), name
    # The others are those of the free page bitmap.
    codes = re.findall(r"#define VIRTIO_BALLOON_BITMAP_(\w+)\t+(\d+)\t", UAPI.read_text())
    known = {(name.lower().replace("_", "-"), int(number)) for name, number in codes}
    assert {(word, number) for number, word in declared["status"].items()} <= known
    assert {(f"caches-{word}", number) for number, word in declared["result"].items()} <= known
