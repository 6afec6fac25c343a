"""How the sandbox signs in SNS's place."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from consumers.sandbox import Generation
from consumers.sandbox.signing import SignatureVersion, kept_key, passing_key
from tests.unit.sandbox.story import ANALYTICAL_ENGINES, END_OF_MAY, SOFTPHONE, Stage


@pytest.mark.parametrize(
    ("version", "algorithm"),
    [
        (SignatureVersion.SHA1, hashes.SHA1()),  # noqa: S303 -- AWS's version 1
        (SignatureVersion.SHA256, hashes.SHA256()),
    ],
)
def test_a_notification_is_signed_as_aws_says(version: SignatureVersion, algorithm: hashes.HashAlgorithm) -> None:
    """Name and value of each member that is signed, each with a line feed, by RSA and the hash of the version."""
    key = passing_key()
    envelope = {"Type": "Notification", "MessageId": "1", "TopicArn": "arn", "Message": "{}", "Timestamp": "noon"}
    signed = key.sign(envelope | {"UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/"}, version=version)
    text = b"Message\n{}\nMessageId\n1\nTimestamp\nnoon\nTopicArn\narn\nType\nNotification\n"
    signature = base64.b64decode(signed["Signature"])
    key.private.public_key().verify(signature, text, padding.PKCS1v15(), algorithm)
    assert signed["SignatureVersion"] == version.value
    assert signed["SigningCertURL"] == f"https://sns.us-east-1.amazonaws.com{key.path}"


def test_legacy_notifications_are_signed() -> None:
    """Each for itself."""
    stage = Stage()
    stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, generation=Generation.LEGACY)
    subscribed, entitled = stage.bodies()
    assert subscribed["SigningCertURL"].endswith(passing_key().path)
    assert subscribed["Signature"] != entitled["Signature"]
    assert SOFTPHONE.code in entitled["TopicArn"]


def test_a_kept_key_is_the_same_at_the_next_start(tmp_path: Path) -> None:
    """So messages that still lie in a queue stay right; nobody but its owner reads it."""
    path = tmp_path / "ledger.sandbox.signing.pem"
    made = kept_key(path)
    again = kept_key(path)
    assert again.path == made.path
    assert again.pem == made.pem
    assert again.private.private_numbers() == made.private.private_numbers()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"nothing of a key", passing_key().pem])
def test_a_file_without_a_key_gets_one(tmp_path: Path, content: bytes) -> None:
    """A sandbox is no place to repair files by hand."""
    path = tmp_path / "ledger.sandbox.signing.pem"
    path.write_bytes(content)
    made = kept_key(path)
    assert made.path != passing_key().path
    assert kept_key(path).path == made.path
