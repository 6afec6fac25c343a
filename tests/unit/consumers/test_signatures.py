"""Whether a message is signed by SNS, by AWS's rules and in the face of every trick."""

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from consumers.marketplace.origin.signatures import (
    NotACertificateError,
    SignatureIsWrongError,
    check_signature,
    path_of,
    read_certificate,
    read_signature,
)
from consumers.sandbox.signing import SignatureVersion, SigningKey, passing_key
from tests.sns import forgers_key, signed
from tests.unit.consumers import aws

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SAID = aws.body(aws.notification("entitlement-updated"))
AT_SNS = "https://sns.us-east-1.amazonaws.com"
PEM = "/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"


def check(envelope: dict[str, str], *, key: SigningKey | None = None, at: datetime = NOON) -> None:
    """See whether an envelope is signed by the holder of a key."""
    check_signature(read_signature(envelope), read_certificate((key or passing_key()).pem), received_at=at)


# -- the rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", list(SignatureVersion))
def test_what_sns_signed_is_right(version: SignatureVersion) -> None:
    """SHA1 and SHA256, with a subject and without one."""
    check(signed(SAID, version=version))
    check(signed(SAID, version=version, Subject="Entitlements"))


def test_what_is_signed_of_a_notification() -> None:
    """AWS: Message, MessageId, Subject if there is one, Timestamp, TopicArn and Type, each with a line feed."""
    envelope = signed("line\nfeed", Subject="About seats")
    assert read_signature(envelope).signed == (
        b"Message\nline\nfeed\n"
        b"MessageId\n63a3f6b6-d533-4a47-aef9-fcf5cf758c76\n"
        b"Subject\nAbout seats\n"
        b"Timestamp\n2026-11-24T12:00:00.000Z\n"
        b"TopicArn\narn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-74az0btybm649octamy0sktos\n"
        b"Type\nNotification\n"
    )


@pytest.mark.parametrize("type_", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_what_is_signed_of_a_confirmation(type_: str) -> None:
    """AWS: SubscribeURL and Token, too, so that nobody is led elsewhere to confirm."""
    envelope = signed("Confirm.", Type=type_, SubscribeURL=f"{AT_SNS}/?Action=ConfirmSubscription", Token="2336412f")
    assert read_signature(envelope).signed == (
        b"Message\nConfirm.\n"
        b"MessageId\n63a3f6b6-d533-4a47-aef9-fcf5cf758c76\n"
        b"SubscribeURL\nhttps://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription\n"
        b"Timestamp\n2026-11-24T12:00:00.000Z\n"
        b"Token\n2336412f\n"
        b"TopicArn\narn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-74az0btybm649octamy0sktos\n"
        b"Type\n" + type_.encode() + b"\n"
    )
    check(envelope)


def test_a_subject_that_is_null_is_none() -> None:
    """Some write the absent subject out."""
    envelope: dict[str, object] = {**signed(SAID), "Subject": None}
    check_signature(read_signature(envelope), read_certificate(passing_key().pem), received_at=NOON)


def test_what_is_not_signed_may_differ() -> None:
    """The address for unsubscribing is none of what SNS signs."""
    check(signed(SAID) | {"UnsubscribeURL": "https://elsewhere.example"})


# -- forgeries ---------------------------------------------------------------------------------------------------------


@given(
    name=st.sampled_from(["Message", "MessageId", "Timestamp", "TopicArn", "Subject"]),
    text=st.text(),
    version=st.sampled_from(list(SignatureVersion)),
)
def test_whatever_was_altered_after_signing_is_noticed(name: str, text: str, version: SignatureVersion) -> None:
    """In any of the members that are signed."""
    envelope = signed(SAID, version=version, Subject="Entitlements")
    if envelope[name] == text:
        return
    with pytest.raises(SignatureIsWrongError, match="does not fit the message"):
        check(envelope | {name: text})


def test_one_type_is_not_taken_for_another() -> None:
    """A signed confirmation does not become a notification."""
    envelope = signed(SAID, Type="SubscriptionConfirmation", SubscribeURL=AT_SNS, Token="2336412f")
    with pytest.raises(SignatureIsWrongError, match="does not fit the message"):
        check(envelope | {"Type": "Notification"})


def test_somebody_elses_signature_is_wrong() -> None:
    """It is right by the key of who forged it, whose certificate does not lie at AWS's host."""
    envelope = signed(SAID, key=forgers_key())
    check(envelope, key=forgers_key())
    with pytest.raises(SignatureIsWrongError, match="does not fit the message"):
        check(envelope)


def test_one_version_is_not_taken_for_the_other() -> None:
    """The hash is part of what is signed."""
    with pytest.raises(SignatureIsWrongError, match="does not fit the message"):
        check(signed(SAID, version=SignatureVersion.SHA256) | {"SignatureVersion": "1"})


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"Signature": None}, "The message carries no signature of SNS."),
        ({"Signature": 1}, "The member Signature is missing or no text, so SNS has not signed the message."),
        ({"Signature": "not Base64!"}, "The signature is not Base64."),
        ({"Signature": "naïve"}, "The signature is not Base64."),
        ({"SignatureVersion": None}, "The SignatureVersion null is not known."),
        ({"SignatureVersion": 1}, "The SignatureVersion 1 is not known."),
        ({"SignatureVersion": "3"}, 'The SignatureVersion "3" is not known.'),
        ({"SignatureVersion": ["1"]}, "The SignatureVersion a list or an object is not known."),
        (
            {"SigningCertURL": None},
            "The member SigningCertURL is missing or no text, so SNS has not signed the message.",
        ),
        ({"Message": {"action": "entitlement-updated"}}, "The member Message is missing or no text, so SNS has not"),
        ({"Type": "Invitation"}, 'SNS sends no message of the Type "Invitation".'),
    ],
)
def test_what_can_be_no_signature_is_said_in_words(members: dict[str, object], said: str) -> None:
    """Before any certificate is fetched."""
    with pytest.raises(SignatureIsWrongError) as refused:
        read_signature({**signed(SAID), **members})
    assert str(refused.value).startswith(said)


def test_a_text_that_is_none_in_utf_8_has_no_right_signature() -> None:
    """A lone surrogate can be written in JSON, and nobody can have signed it."""
    with pytest.raises(SignatureIsWrongError, match="does not fit the message"):
        check(signed(SAID) | {"Message": "\ud800"})


def test_an_empty_signature_is_wrong() -> None:
    """It is Base64 of nothing."""
    with pytest.raises(SignatureIsWrongError, match="does not fit the message"):
        check(signed(SAID) | {"Signature": ""})


# -- where certificates may lie ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "sns.us-east-1.amazonaws.com",
        "sns.ap-southeast-2.amazonaws.com",
        "sns.us-gov-west-1.amazonaws.com",
        "sns.cn-north-1.amazonaws.com.cn",
    ],
)
def test_certificates_lie_at_the_hosts_of_sns(host: str) -> None:
    """In any region, China's included."""
    assert path_of(f"https://{host}{PEM}") == PEM


@pytest.mark.parametrize(
    "url",
    [
        f"http://sns.us-east-1.amazonaws.com{PEM}",
        f"HTTPS://sns.us-east-1.amazonaws.com{PEM}",
        f"file://sns.us-east-1.amazonaws.com{PEM}",
        f"//sns.us-east-1.amazonaws.com{PEM}",
        f"https://evil.example{PEM}",
        f"https://sns.us-east-1.amazonaws.com.evil.com{PEM}",
        f"https://sns.us-east-1.amazonaws.com.cn.evil.com{PEM}",
        f"https://evil.com/sns.us-east-1.amazonaws.com{PEM}",
        f"https://evil.com#sns.us-east-1.amazonaws.com{PEM}",
        f"https://evil.com?sns.us-east-1.amazonaws.com{PEM}",
        f"https://evil.com\\sns.us-east-1.amazonaws.com{PEM}",
        f"https://sns.us-east-1.amazonaws.com@evil.com{PEM}",
        f"https://user@sns.us-east-1.amazonaws.com{PEM}",
        f"https://user:secret@sns.us-east-1.amazonaws.com{PEM}",
        f"https://sns.us-east-1.amazonaws.com:443{PEM}",
        f"https://sns.us-east-1.amazonaws.com:8443{PEM}",
        f"https://sns.us-east-1.amazonaws.com.{PEM}",
        f"https://evil.sns.us-east-1.amazonaws.com{PEM}",
        f"https://evilsns.us-east-1.amazonaws.com{PEM}",
        f"https://sns.us-east-1xamazonaws.com{PEM}",
        f"https://sns.s3.amazonaws.com{PEM}",
        f"https://sns.s3-us-west-2.amazonaws.com{PEM}",
        f"https://sns.s3.us-west-2.amazonaws.com{PEM}",
        f"https://s3.amazonaws.com/sns{PEM}",
        f"https://sns.us-east-1.amazonaws.com%2eevil.com{PEM}",
        f"https://sns.us-east-1.amazonaws%2ecom{PEM}",
        f"https://sns.us-east-1.amazonaws。com{PEM}",  # a full stop that some take for a dot
        f"https://ѕns.us-east-1.amazonaws.com{PEM}",  # noqa: RUF001 -- a Cyrillic letter
        f"https://sns.us-east-１.amazonaws.com{PEM}",  # noqa: RUF001 -- a digit that is none in a host
        f"https://xn--ns-8cd.us-east-1.amazonaws.com{PEM}",
        f"https://[::1]{PEM}",
        f"https://127.0.0.1{PEM}",
        f"{AT_SNS}{PEM}?x=1",
        f"{AT_SNS}{PEM}#x",
        f"{AT_SNS}{PEM};x",
        f"{AT_SNS}{PEM}/",
        f"{AT_SNS}{PEM}\n",
        f" {AT_SNS}{PEM}",
        f"{AT_SNS}/{PEM}",
        f"{AT_SNS}/x/..{PEM}",
        f"{AT_SNS}/SimpleNotificationService.pem",
        f"{AT_SNS}/SimpleNotificationService-.pem",
        f"{AT_SNS}/SimpleNotificationService-1/2.pem",
        f"{AT_SNS}/SimpleNotificationService-1%2f2.pem",
        f"{AT_SNS}/SimpleNotificationService-..pem",
        f"{AT_SNS}/SimpleNotificationService-{'1' * 65}.pem",
        f"{AT_SNS}/OtherService-1.pem",
        f"{AT_SNS}/?Action=GetCertificate",
        f"{AT_SNS}",
        "",
    ],
)
def test_an_address_with_a_trick_in_it_is_none_of_sns(url: str) -> None:
    """It is refused as it stands: nothing is mended, and nobody is asked."""
    with pytest.raises(SignatureIsWrongError, match="is at no address of SNS"):
        read_signature(signed(SAID) | {"SigningCertURL": url})


_PIECES = st.sampled_from(
    [
        *("https", "http", "://", ":", "/", "//", "@", "?", "#", "\\", ".", "%2e", "。", "user", ":443", "evil.com"),
        *(
            "sns",
            ".us-east-1",
            ".cn-north-1",
            ".amazonaws.com",
            ".cn",
            "/SimpleNotificationService-",
            "1f",
            ".pem",
            "\n",
        ),
        *("https://sns.us-east-1.amazonaws.com", "/SimpleNotificationService-1f.pem"),
    ]
)


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_what_is_taken_for_an_address_of_sns_is_one_to_everybody(url: str) -> None:
    """Read by Python's own library: HTTPS, a host of AWS's, and nothing beside host and path."""
    try:
        path = path_of(url)
    except SignatureIsWrongError:
        return
    parts = urlsplit(url)
    host = parts.hostname or ""
    assert parts.scheme == "https"
    assert host.startswith("sns.")
    assert host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    assert parts.netloc == host
    assert url == f"https://{host}{parts.path}"
    assert parts.path == path
    assert path.startswith("/SimpleNotificationService-")


def _pem_of(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


# -- certificates ------------------------------------------------------------------------------------------------------


def test_a_certificate_that_has_expired_is_not_taken() -> None:
    """A day is left for clocks that differ."""
    key = SigningKey.make(valid_from=NOON - 365 * DAY, valid_until=NOON - DAY)
    check(signed(SAID, key=key), key=key)
    with pytest.raises(SignatureIsWrongError, match=r"expired on 2026-11-23T12:00:00Z\."):
        check(signed(SAID, key=key, Timestamp="2026-11-24T12:00:01.000Z"), key=key, at=NOON + timedelta(seconds=1))


def test_a_certificate_may_expire_while_the_message_waits() -> None:
    """It was valid when SNS signed, and SQS keeps a message for 14 days; who says to be older is not believed."""
    key = SigningKey.make(valid_from=NOON - 365 * DAY, valid_until=NOON)
    envelope = signed(SAID, key=key)
    check(envelope, key=key, at=NOON + 14 * DAY)
    with pytest.raises(SignatureIsWrongError, match=r"expired on 2026-11-24T12:00:00Z\."):
        check(envelope, key=key, at=NOON + 14 * DAY + timedelta(seconds=1))


@pytest.mark.parametrize("told", ["soon", "2026-11-24T12:00:00.000", "9999-12-31T23:59:59-08:00"])
def test_what_says_no_time_of_its_signature_is_judged_by_when_it_came(told: str) -> None:
    """SNS always says one."""
    key = SigningKey.make(valid_from=NOON - 365 * DAY, valid_until=NOON)
    check(signed(SAID, key=key, Timestamp=told), key=key, at=NOON + DAY)
    with pytest.raises(SignatureIsWrongError, match="expired on"):
        check(signed(SAID, key=key, Timestamp=told), key=key, at=NOON + DAY + timedelta(seconds=1))


def test_a_certificate_of_the_future_is_not_taken() -> None:
    """A day is left at its beginning, too."""
    key = SigningKey.make(valid_from=NOON + DAY, valid_until=NOON + 365 * DAY)
    envelope = signed(SAID, key=key)
    check(envelope, key=key)
    with pytest.raises(SignatureIsWrongError, match=r"is not valid before 2026-11-25T12:00:00Z\."):
        check(envelope, key=key, at=NOON - timedelta(seconds=1))


def test_a_certificate_of_somebody_else_is_none_of_sns() -> None:
    """A host may hold others, too."""
    with pytest.raises(NotACertificateError, match="is not made out to SNS"):
        read_certificate(SigningKey.make(name="sns.amazonaws.com.evil.com").pem)


def test_a_certificate_of_a_region_is_one_of_sns() -> None:
    """Some regions have their name in it."""
    regional = SigningKey.make(name="sns-signing.me-south-1.amazonaws.com")
    assert read_certificate(regional.pem).valid_until == regional.certificate.not_valid_after_utc


def test_a_certificate_with_another_kind_of_key_is_none_of_sns() -> None:
    """Both versions sign by RSA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOON - DAY)
        .not_valid_after(NOON + DAY)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(NotACertificateError, match="has no RSA key"):
        read_certificate(certificate.public_bytes(serialization.Encoding.PEM))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(_pem_of))
def test_what_is_no_certificate_is_said_to_be_none(foreign: bytes) -> None:
    """Whatever a host answers."""
    with pytest.raises(NotACertificateError):
        read_certificate(foreign)
