"""Secrets of credentials: how they are shown, hashed, and encrypted for a repeated call."""

from __future__ import annotations

import hashlib
import secrets

SECRET_BYTES = 32


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret, as stored.

    One plain hash suffices, without salt or stretching: a secret is 32 random bytes, so guessing
    is hopeless.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def seal(secret: bytes, proof: bytes) -> bytes:
    """Encrypt a secret of 32 bytes under a proof: a fresh nonce of 16 bytes, then the ciphertext.

    The pad is a keyed hash of the nonce (a PRF), so a fresh nonce makes it a one-time pad.
    """
    nonce = secrets.token_bytes(16)
    return nonce + _padded(secret, nonce, proof)


def unseal(sealed: bytes, proof: bytes) -> bytes:
    """Decrypt a sealed secret. A wrong proof gives other bytes, which match no stored hash."""
    return _padded(sealed[16:], sealed[:16], proof)


def _padded(text: bytes, nonce: bytes, proof: bytes) -> bytes:
    pad = hashlib.blake2b(nonce, key=proof, digest_size=SECRET_BYTES).digest()
    return bytes(a ^ b for a, b in zip(text, pad, strict=True))


def shown(secret: bytes) -> str:
    """Return a secret as its caller is given it, this once."""
    return f"sk_{secret.hex()}"
