"""Files of the development authority: keys that are made once, and content that is there whole or not at all."""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

PrivateKey = ec.EllipticCurvePrivateKey


class Files:
    """Writes files and remembers which."""

    def __init__(self) -> None:
        self.written: list[Path] = []

    def write(self, path: Path, content: bytes, mode: int) -> None:
        """Under another name first, then renamed: whoever reads meanwhile has the old content or the new."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.written.append(path)

    def write_changed(self, path: Path, content: bytes, mode: int) -> None:
        """Only where the file holds something else."""
        try:
            if path.read_bytes() == content:
                return
        except FileNotFoundError:
            pass
        self.write(path, content, mode)

    def key(self, path: Path) -> PrivateKey:
        """The key in the file; a new one (EC P-256) where there is none, or only part of one."""
        key = read_key(path)
        if key is None:
            key = ec.generate_private_key(ec.SECP256R1())
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            self.write(path, pem, 0o600)
        return key


def read_key(path: Path) -> PrivateKey | None:
    """None where there is none, or only part of one.

    Raises OSError where it can't be read: nobody should take it for missing then and make another.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    return key if isinstance(key, PrivateKey) else None
