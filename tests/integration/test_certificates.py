"""Certificates of SNS, fetched over real connections from a host that does as it likes."""

import time
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from consumers.marketplace.origin.certificates import (
    CERTIFICATE_BYTES_MAX,
    CERTIFICATES_KEPT,
    REST,
    CertificateNotHadError,
    SigningCertificates,
)
from consumers.marketplace.origin.signatures import SignatureIsWrongError
from consumers.sandbox.signing import passing_key
from tests.integration.consumers_stage import NOON
from tests.services.certificates import certify
from tests.sns import CertificateHost, certificate_host, document

AT_SNS = "https://sns.us-east-1.amazonaws.com"
PATH = "/SimpleNotificationService-1f.pem"
URL = AT_SNS + PATH
HANGS_SECONDS = 0.3
"""How long one that hangs is waited for here. One that answers has as long as ever, also on a busy machine."""


@pytest.fixture
def host() -> Iterator[CertificateHost]:
    """A host that holds nothing."""
    with certificate_host() as host:
        yield host


@pytest.fixture
def certificates(host: CertificateHost) -> SigningCertificates:
    """Those that lie at this host."""
    return SigningCertificates(endpoint_url=host.url)


def test_a_certificate_is_fetched_once(host: CertificateHost, certificates: SigningCertificates) -> None:
    """By the path of its address."""
    host.answers[PATH] = document(passing_key().pem)
    assert certificates.known(URL) is None
    certificates.fetch(URL, at=NOON)
    found = certificates.known(URL)
    assert found is not None
    assert found.key.public_numbers() == passing_key().private.public_key().public_numbers()
    assert host.asked == [PATH]


def test_an_endpoint_may_end_with_a_slash(host: CertificateHost) -> None:
    """As boto3 takes it."""
    host.answers[PATH] = document(passing_key().pem)
    certificates = SigningCertificates(endpoint_url=f"{host.url}/")
    certificates.fetch(URL, at=NOON)
    assert certificates.known(URL)


def test_nothing_is_asked_for_at_an_address_that_is_none_of_sns(
    host: CertificateHost, certificates: SigningCertificates
) -> None:
    """Neither there nor of the endpoint that stands for SNS."""
    for asking in (certificates, SigningCertificates()):
        with pytest.raises(SignatureIsWrongError):
            asking.fetch(host.url + PATH, at=NOON)
    assert host.asked == []


def test_a_redirect_is_not_followed(host: CertificateHost, certificates: SigningCertificates) -> None:
    """Wherever it leads."""
    host.holds(passing_key())
    host.answers[PATH] = document(b"", status=HTTPStatus.FOUND, headers={"Location": host.url + passing_key().path})
    with pytest.raises(CertificateNotHadError, match="HTTP status 302") as error:
        certificates.fetch(URL, at=NOON)
    assert not error.value.is_absent
    assert host.asked == [PATH]


@pytest.mark.parametrize(("status", "is_absent"), [(403, True), (404, True), (410, True), (429, False), (503, False)])
def test_a_refusal_of_the_host_says_whether_it_lasts(
    host: CertificateHost, certificates: SigningCertificates, status: int, *, is_absent: bool
) -> None:
    """A host that has no certificate there is another thing than one that can't answer now."""
    host.answers[PATH] = document(passing_key().pem, status=status)
    with pytest.raises(CertificateNotHadError, match=f"HTTP status {status}") as error:
        certificates.fetch(URL, at=NOON)
    assert error.value.is_absent is is_absent


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "There is no certificate."),
        (b"<html>Please sign in to the network.</html>", "There is no certificate."),
        (b"x" * (CERTIFICATE_BYTES_MAX + 1), "far too long"),
    ],
)
def test_what_is_no_certificate_is_not_taken_for_one(
    host: CertificateHost, certificates: SigningCertificates, body: bytes, said: str
) -> None:
    """Such as the page of a network that wants something first."""
    host.answers[PATH] = document(body)
    with pytest.raises(CertificateNotHadError, match=said):
        certificates.fetch(URL, at=NOON)
    assert certificates.known(URL) is None


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_host_that_takes_its_time_is_not_waited_for(host: CertificateHost, how: str) -> None:
    """Neither one that says nothing nor one that says a little now and then."""
    certificates = SigningCertificates(endpoint_url=host.url, fetch_seconds=HANGS_SECONDS)
    host.answers[PATH] = getattr(host, how)
    begun = time.monotonic()
    with pytest.raises(CertificateNotHadError):
        certificates.fetch(URL, at=NOON)
    assert time.monotonic() - begun < 10 * HANGS_SECONDS


def test_a_host_that_is_not_there_is_told_of_in_a_line() -> None:
    """Nobody listens at that port any more."""
    with certificate_host() as host:
        pass
    certificates = SigningCertificates(endpoint_url=host.url)
    with pytest.raises(CertificateNotHadError, match="Could not connect to the endpoint URL") as error:
        certificates.fetch(URL, at=NOON)
    assert not error.value.is_absent
    assert "\n" not in str(error.value)


def test_what_could_not_be_had_is_asked_for_again_after_a_rest(
    host: CertificateHost, certificates: SigningCertificates
) -> None:
    """However many messages want it meanwhile."""
    for at in (NOON, NOON, NOON + REST - timedelta(microseconds=1)):
        with pytest.raises(CertificateNotHadError, match="HTTP status 404"):
            certificates.fetch(URL, at=at)
    assert host.asked == [PATH]
    host.answers[PATH] = document(passing_key().pem)
    certificates.fetch(URL, at=NOON + REST)
    assert certificates.known(URL)
    assert host.asked == [PATH, PATH]


def test_a_clock_that_was_set_back_does_not_make_the_rest_longer(
    host: CertificateHost, certificates: SigningCertificates
) -> None:
    """A failure of the future is none."""
    with pytest.raises(CertificateNotHadError):
        certificates.fetch(URL, at=NOON)
    host.answers[PATH] = document(passing_key().pem)
    certificates.fetch(URL, at=NOON - timedelta(hours=1))
    assert certificates.known(URL)


def test_only_so_many_certificates_are_kept(host: CertificateHost, certificates: SigningCertificates) -> None:
    """The one that was not needed for longest goes first."""
    paths = [f"/SimpleNotificationService-{number}.pem" for number in range(CERTIFICATES_KEPT + 1)]
    host.answers.update({path: document(passing_key().pem) for path in paths})
    for path in paths[:-1]:
        certificates.fetch(AT_SNS + path, at=NOON)
    assert certificates.known(AT_SNS + paths[0])
    certificates.fetch(AT_SNS + paths[-1], at=NOON)
    assert certificates.known(AT_SNS + paths[1]) is None
    assert certificates.known(AT_SNS + paths[0])


def test_a_host_that_nobody_vouches_for_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless AWS's own variable AWS_CA_BUNDLE names who vouches for it, as for boto3."""
    tls = certify(tmp_path)
    with certificate_host(tls=tls) as host:
        host.answers[PATH] = document(passing_key().pem)
        certificates = SigningCertificates(endpoint_url=host.url)
        with pytest.raises(CertificateNotHadError, match="SSL validation failed"):
            certificates.fetch(URL, at=NOON)
        assert host.asked == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tls.certificate))
        certificates.fetch(URL, at=NOON + REST)
        assert certificates.known(URL)


def test_without_an_endpoint_aws_is_asked_by_the_way_that_boto3_takes(
    host: CertificateHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host of the address itself, over TLS, and through the proxy that there may be."""
    monkeypatch.setenv("HTTPS_PROXY", host.url)
    with pytest.raises(CertificateNotHadError, match="proxy"):
        SigningCertificates().fetch(URL, at=NOON)
    assert host.asked == ["sns.us-east-1.amazonaws.com:443"]
