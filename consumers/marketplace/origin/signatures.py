"""Signatures of SNS, by the rules in AWS's "Verifying the signatures of Amazon SNS messages".

The libraries that do the same are not used, for what they let through: `aws-sns-message-validator` (2022) takes any
path at AWS's hosts, follows redirects and can't tell a network that is down from a forgery; `aws-sns-verifier` visits
the address that a message asks to be confirmed at. What is left to do is one text and one call of `cryptography`.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from consumers.marketplace.messages import time_of
from consumers.marketplace.showing import shown
from ledger.times import written

CLOCKS_DIFFER_MAX: Final = timedelta(days=1)
"""By how much the clocks of AWS and of the ledger may differ where the dates of a certificate are looked at."""
QUEUED_MAX: Final = timedelta(days=14)
"""How long ago a message may have been signed and still be judged by that time: SQS keeps it so long."""

_OF_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _OF_CONFIRMATION,
    "UnsubscribeConfirmation": _OF_CONFIRMATION,
}
_OPTIONAL_MEMBER: Final = "Subject"
_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 -- AWS's version 1
# The whole address, character by character: what fits it leaves nothing to be read in two ways.
_CERTIFICATE_URL: Final = re.compile(
    r"https://sns\.[a-z]{2}(?:-[a-z]{1,16}){1,3}-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?"
    r"(?P<path>/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem)"
)
# Everywhere `sns.amazonaws.com`, but in some regions with the region in it.
_CERTIFIED_NAME: Final = re.compile(r"sns[a-z0-9.-]*\.amazonaws\.com(?:\.cn)?")
ADDRESS_SHOWN_MAX: Final = 300
"""An address or an ARN stands in a sentence as a whole."""


class SignatureIsWrongError(Exception):
    """A message is not signed by SNS; the text is one sentence that says why."""


class NotACertificateError(Exception):
    """What was found at the address of a certificate is none of SNS; the text is one sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningCertificate:
    """A certificate with which SNS's signatures are checked.

    Attributes:
        key: the public key.
        valid_from: aware UTC.
        valid_until: aware UTC.
    """

    key: rsa.RSAPublicKey
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """The signature of a message, not checked yet.

    Attributes:
        signed: the bytes that it is about.
        signed_at: when SNS says that it was made; null if it says no time.
        value: its own bytes.
        algorithm: the hash of its version.
        certificate_url: an address of SNS's where its certificate lies.
    """

    signed: bytes
    signed_at: datetime | None
    value: bytes
    algorithm: hashes.HashAlgorithm
    certificate_url: str


def read_certificate(pem: bytes) -> SigningCertificate:
    """Read a certificate as it lies at AWS's hosts.

    Raises:
        NotACertificateError: it is none, or is not made out to SNS.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        names = _certified_names(certificate)
    except (ValueError, TypeError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise NotACertificateError("There is no certificate.") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise NotACertificateError("The certificate has no RSA key.")
    if not any(_CERTIFIED_NAME.fullmatch(name) for name in names):
        raise NotACertificateError("The certificate is not made out to SNS.")
    return SigningCertificate(
        key=key, valid_from=certificate.not_valid_before_utc, valid_until=certificate.not_valid_after_utc
    )


def path_of(certificate_url: str) -> str:
    """The path of a certificate's address, beginning with a slash.

    Raises:
        SignatureIsWrongError: the address is none of SNS.
    """
    found = _CERTIFICATE_URL.fullmatch(certificate_url)
    if found is None:
        address = shown(certificate_url, length_max=ADDRESS_SHOWN_MAX)
        raise SignatureIsWrongError(f"The certificate of its signature is at no address of SNS: {address}.")
    return found["path"]


def read_signature(envelope: Mapping[str, Any]) -> Signature:
    """Find the signature of an SNS message.

    Args:
        envelope: the message as SNS writes it.

    Raises:
        SignatureIsWrongError: there is none, or none that could be right.
    """
    if envelope.get("Signature") is None:
        raise SignatureIsWrongError("The message carries no signature of SNS.")
    algorithm = _algorithm(envelope.get("SignatureVersion"))
    certificate_url = _text(envelope, "SigningCertURL")
    path_of(certificate_url)
    return Signature(
        signed=_signed(envelope),
        signed_at=time_of(envelope.get("Timestamp")),
        value=_value(_text(envelope, "Signature")),
        algorithm=algorithm,
        certificate_url=certificate_url,
    )


def check_signature(signature: Signature, certificate: SigningCertificate, *, received_at: datetime) -> None:
    """See whether a signature is right.

    Args:
        signature: of a message.
        certificate: from the address that the message names. It has to have been valid when the message was signed, or
            when it came, if it says to be older than any queue keeps it.
        received_at: when the message came, aware UTC.

    Raises:
        SignatureIsWrongError: it is not.
    """
    at = _signed_at(signature, received_at=received_at)
    if at < certificate.valid_from - CLOCKS_DIFFER_MAX:
        raise SignatureIsWrongError(
            f"The certificate of its signature is not valid before {_day(certificate.valid_from)}."
        )
    if at > certificate.valid_until + CLOCKS_DIFFER_MAX:
        raise SignatureIsWrongError(f"The certificate of its signature expired on {_day(certificate.valid_until)}.")
    try:
        certificate.key.verify(signature.value, signature.signed, padding.PKCS1v15(), signature.algorithm)
    except InvalidSignature:
        raise SignatureIsWrongError("The signature does not fit the message: SNS never sent it like this.") from None


def _signed_at(signature: Signature, *, received_at: datetime) -> datetime:
    told = signature.signed_at
    return received_at if told is None or not received_at - QUEUED_MAX <= told <= received_at else told


def _algorithm(version: object) -> hashes.HashAlgorithm:
    found = _HASHES.get(version) if isinstance(version, str) else None
    if found is None:
        raise SignatureIsWrongError(f"The SignatureVersion {shown(version)} is not known.")
    return found


def _signed(envelope: Mapping[str, Any]) -> bytes:
    """AWS's string to sign: name and value of each member, by name, each ended by a line feed."""
    type_ = _text(envelope, "Type")
    names = _SIGNED_MEMBERS.get(type_)
    if names is None:
        raise SignatureIsWrongError(f"SNS sends no message of the Type {shown(type_)}.")
    there = [name for name in names if name != _OPTIONAL_MEMBER or envelope.get(name) is not None]
    text = "".join(f"{name}\n{_text(envelope, name)}\n" for name in there)
    # A text that is none in UTF-8 has a signature that does not fit, like any other that SNS never signed.
    return text.encode(errors="surrogatepass")


def _text(envelope: Mapping[str, Any], name: str) -> str:
    found = envelope.get(name)
    if not isinstance(found, str):
        raise SignatureIsWrongError(f"The member {name} is missing or no text, so SNS has not signed the message.")
    return found


def _value(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureIsWrongError("The signature is not Base64.") from None


def _certified_names(certificate: x509.Certificate) -> list[str]:
    names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    return names + others.get_values_for_type(x509.DNSName)


def _day(at: datetime) -> str:
    return written(at, timespec="seconds")
