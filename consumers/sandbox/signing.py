"""How the sandbox signs in SNS's place: with a key and a certificate of its own.

The certificate lies where a message says that it lies, but at the sandbox instead of AWS's host, which
`AWS_ENDPOINT_URL_SNS` tells. So whoever verifies signatures can do it with the sandbox as with AWS.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from consumers.sandbox.notifications import REGION

NAME_OF_SNS: Final = "sns.amazonaws.com"
"""To whom AWS makes out the certificates of SNS."""

# Valid at whatever time the sandbox plays.
_VALID_FROM: Final = datetime(2000, 1, 1, tzinfo=UTC)
_VALID_UNTIL: Final = datetime(2100, 1, 1, tzinfo=UTC)
_KEY_BITS: Final = 2048
_SIGNED: Final = frozenset(
    {"Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
)


class SignatureVersion(StrEnum):
    """SNS's two ways of signing, as messages name them."""

    SHA1 = "1"
    SHA256 = "2"


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningKey:
    """A key, and the certificate that vouches for it."""

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(
        cls, *, valid_from: datetime = _VALID_FROM, valid_until: datetime = _VALID_UNTIL, name: str = NAME_OF_SNS
    ) -> Self:
        """Make a new key with a certificate of its own making.

        Args:
            valid_from: aware UTC.
            valid_until: aware UTC.
            name: to whom it is made out.
        """
        private = rsa.generate_private_key(public_exponent=65_537, key_size=_KEY_BITS)
        made_out_to = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(made_out_to)
            .issuer_name(made_out_to)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(valid_from)
            .not_valid_after(valid_until)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(private, hashes.SHA256())
        )
        return cls(private=private, certificate=certificate)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The key that was kept in this file; null if it holds none.

        Raises:
            OSError: it can't be read.
        """
        if not path.exists():
            return None
        pem = path.read_bytes()
        try:
            private = serialization.load_pem_private_key(pem, password=None)
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            return None
        return cls(private=private, certificate=certificate) if isinstance(private, rsa.RSAPrivateKey) else None

    def keep(self, path: Path) -> None:
        """Write it into a file that its owner alone can read, in one step.

        Raises:
            OSError: it can't be written.
        """
        private = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        beside = path.with_name(f"{path.name}.new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(private + self.pem)
        beside.replace(path)

    @property
    def pem(self) -> bytes:
        """The certificate as it is handed out."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def path(self) -> str:
        """Where the certificate lies at its host; another certificate lies elsewhere."""
        return f"/SimpleNotificationService-{self.certificate.fingerprint(hashes.SHA256()).hex()[:32]}.pem"

    def sign(self, envelope: Mapping[str, str], *, version: SignatureVersion = SignatureVersion.SHA1) -> dict[str, str]:
        """An SNS message with what SNS adds to it so that its origin can be verified.

        Args:
            envelope: the message without a signature.
            version: the way of signing.
        """
        names = sorted(name for name in envelope if name in _SIGNED)
        text = "".join(f"{name}\n{envelope[name]}\n" for name in names)
        algorithm = hashes.SHA1() if version is SignatureVersion.SHA1 else hashes.SHA256()  # noqa: S303 -- AWS's version 1
        signature = self.private.sign(text.encode(), padding.PKCS1v15(), algorithm)
        return {
            **envelope,
            "SignatureVersion": version.value,
            "Signature": base64.b64encode(signature).decode(),
            "SigningCertURL": f"https://sns.{REGION}.amazonaws.com{self.path}",
        }


def kept_key(path: Path) -> SigningKey:
    """The key that is kept in a file, made at the first time.

    Raises:
        OSError: it can't be read or written.
    """
    kept = SigningKey.load(path)
    if kept is None:
        kept = SigningKey.make()
        kept.keep(path)
    return kept


@cache
def passing_key() -> SigningKey:
    """The key of all sandboxes of this process that keep none."""
    return SigningKey.make()
