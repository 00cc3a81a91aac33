# SPDX-License-Identifier: GPL-2.0
"""The module's KUnit suites, in a guest."""

from dataclasses import replace

import pytest

from tools.guest import drivers, ktap, paths

KUNIT = "/sys/kernel/debug/kunit"


def _suites(guest):
    return set(guest.agent.run(f"ls {KUNIT}").split())


@pytest.mark.kasan
def test_kunit(guests, machine, flavour):
    machine = replace(
        machine,
        modules={drivers.RUST_MODULE: paths.lookup(f"MODULE_{flavour.upper()}_KUNIT")},
        append=("kunit.enable=1", "kunit.autorun=1"),
        balloon=None,
        memory_mib=2048,
        deadline=900.0,
    )
    guest = guests.start(machine)
    # The kernel has suites of its own.
    before = _suites(guest)
    guest.insmod(drivers.RUST_MODULE, deadline=600)

    # Those of the module, and that of tools/kernel/patches, which ran at boot.
    names = sorted(_suites(guest) - before) + ["balloon"]
    results = "".join(guest.agent.read(f"{KUNIT}/{name}/results") for name in names)
    suites = ktap.parse(results)
    assert suites, f"no suite ran:\n{results}"
    print(", ".join(f"{suite.name}: {suite.passed}" for suite in suites))
    bad = [f"{suite.name}: {case}" for suite in suites for case in suite.failed]
    assert not bad, f"{bad}:\n{ktap.complaints(results)}"
    for suite in suites:
        assert suite.passed and not suite.skipped, suite
