"""Ed25519 signatures, ``v1a`` of Standard Webhooks: receivers verify them with a public key, and hold no secret. Pure.

A private key is written ``whsk_`` and 32 bytes in base64, its public key ``whpk_`` and 32 bytes.
"""

import base64
import binascii
from functools import lru_cache
from typing import TYPE_CHECKING

from sockudo_py.endpoints import Endpoint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE_KEY_PREFIX = "whsk_"
PUBLIC_KEY_PREFIX = "whpk_"
_BYTES = 32
_WITH_PUBLIC = 64  # some tools append the public key


class KeyPairsUnavailable(ValueError):
    """The library is not installed."""


@lru_cache(maxsize=1024)
def private_key(secret: str) -> "Ed25519PrivateKey":
    """Return the key of a secret. Raises ValueError; KeyPairsUnavailable without the library (extra ``ed25519``)."""
    try:
        raw = base64.b64decode(secret.removeprefix(PRIVATE_KEY_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if len(raw) not in (_BYTES, _WITH_PUBLIC):
        raise ValueError(f"{len(raw)} bytes long; an Ed25519 key has {_BYTES}")
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise KeyPairsUnavailable(
            "whsk_ needs cryptography, which is not installed; install it: pip install 'sockudo-py[ed25519]'"
        ) from None
    return Ed25519PrivateKey.from_private_bytes(raw[:_BYTES])


def sign(secret: str, content: bytes) -> str:
    """Return the signature in base64."""
    return base64.b64encode(private_key(secret).sign(content)).decode()


def public_key(secret: str) -> str:
    """Return the public key of a private one, as receivers get it."""
    raw = private_key(secret).public_key().public_bytes_raw()
    return PUBLIC_KEY_PREFIX + base64.b64encode(raw).decode()


def public_keys(endpoint: Endpoint) -> list[str]:
    """Return the public keys of an endpoint's secrets that are private keys, the current one first."""
    secrets = sorted(endpoint.secrets, key=lambda one: one.expires_at is not None)
    return [public_key(one.value) for one in secrets if one.value.startswith(PRIVATE_KEY_PREFIX)]
