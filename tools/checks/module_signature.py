#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Is a module signed with the key of a certificate?

    module_signature.py MODULE CERTIFICATE

A kernel looks at the end of a module: for the signature, its description, and a line that says
that they are there. The signature is over all that stands before them. It is openssl that checks
it here, with the certificate (DER) as the only one that is trusted.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

END = b"~Module signature appended~\n"
# Algorithm, hash, type, lengths of the signer's name and of the key's id, three bytes of nothing,
# and the length of the signature. But for type and length, all is 0: the rest is in the signature.
DESCRIPTION = struct.Struct(">5B3xI")
PKCS7 = 2


class NotSigned(Exception):
    """There is no signature, or it is not by that key."""


def split(module: bytes) -> tuple[bytes, bytes]:
    """The module without its signature, and the signature."""
    if not module.endswith(END):
        raise NotSigned("no signature")
    rest = module[: -len(END)]
    *kinds, length = DESCRIPTION.unpack(rest[-DESCRIPTION.size :])
    rest = rest[: -DESCRIPTION.size]
    if kinds != [0, 0, PKCS7, 0, 0] or length > len(rest):
        raise NotSigned(f"not a description of a signature: {kinds}, {length} bytes")
    return rest[: len(rest) - length], rest[len(rest) - length :]


def verify(module: Path, certificate: Path) -> None:
    """Raises if the module's signature is not by the certificate's key, or not of this module."""
    content, signature = split(module.read_bytes())
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        (scratch / "content").write_bytes(content)
        (scratch / "signature").write_bytes(signature)
        pem = scratch / "certificate"
        _openssl("x509", "-inform", "DER", "-in", str(certificate), "-out", str(pem))
        # The certificate itself is not in the signature.
        _openssl(
            "cms", "-verify", "-binary", "-inform", "DER", "-in", str(scratch / "signature"),
            "-content", str(scratch / "content"), "-certfile", str(pem), "-CAfile", str(pem),
            "-purpose", "any", "-out", str(scratch / "verified"),
        )  # fmt: skip


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotSigned(done.stderr.strip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("certificate", type=Path)
    given = parser.parse_args()
    try:
        verify(given.module, given.certificate)
    except (NotSigned, OSError) as error:
        print(f"module_signature: {given.module}: {error}", file=sys.stderr)
        return 1
    print(f"module_signature: {given.module}: signed with the key of {given.certificate}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
