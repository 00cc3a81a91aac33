# SPDX-License-Identifier: GPL-2.0
"""Validates XML of the documentation against libvirt's own schema."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")

# The least that is a domain.
_DOMAIN = """<domain type='kvm'><name>guest</name><memory unit='GiB'>1</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"""


def validate(text: str, is_domain: bool) -> None:
    """Raises an error that says what the schema does not take."""
    if not SCHEMA.exists():
        raise FileNotFoundError(f"{SCHEMA} is not there: 'make setup' installs libvirt's schema")
    document = etree.fromstring(text if is_domain else _DOMAIN.format(devices=text))
    etree.RelaxNG(etree.parse(str(SCHEMA))).assertValid(document)
