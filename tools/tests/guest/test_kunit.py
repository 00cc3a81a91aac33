# SPDX-License-Identifier: GPL-2.0
"""The module's KUnit suites, in a guest."""

import pytest

from tools.guest import kunit, paths


@pytest.mark.kasan
@pytest.mark.arm64_4k
def test_kunit(guests, machine, flavour):
    module = paths.lookup(f"MODULE{paths.KERNELS[flavour]}_KUNIT")
    results = kunit.run(guests.start(kunit.machine(machine, module)))

    required = kunit.required(paths.tree(flavour))
    results.check(required)
    # The kernel has suites of its own.
    ours = [suite for suite in results.suites if suite.name in required]
    print(", ".join(f"{suite.name}: {suite.passed}" for suite in ours))
    for suite in ours:
        assert suite.passed and not suite.skipped, suite
