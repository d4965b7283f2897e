"""A key that nobody has: Azure makes no machine without one, and machines that start by themselves need no login."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_BITS = 3072
_EXPONENT = 65537


@cache
def throwaway_key() -> str:
    """Return a public key, the same one for as long as this process lives; its private half is forgotten at once."""
    private = rsa.generate_private_key(_EXPONENT, _BITS)
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
