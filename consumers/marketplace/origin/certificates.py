"""The certificates of SNS: fetched from AWS's hosts, each once, and within limits of size and time."""

import queue
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from math import ceil
from typing import Final

import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from consumers.marketplace.origin.signatures import NotACertificateError, SigningCertificate, path_of, read_certificate

FETCH_SECONDS: Final = 5.0
"""How long a certificate may take to arrive, however slowly it comes."""
CERTIFICATE_BYTES_MAX: Final = 65_536
"""Those of SNS have about 2,000."""
CERTIFICATES_KEPT: Final = 64
"""SNS has one for each region at a time."""
REST: Final = timedelta(seconds=5)
"""For how long nobody asks again where a certificate could not be had."""

_ANSWERS_OF_ABSENCE: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class CertificateNotHadError(Exception):
    """A certificate can't be had now; the text says why.

    Attributes:
        is_absent: the host says that there is none, which time alone will not mend.
    """

    def __init__(self, reason: str, *, is_absent: bool = False) -> None:
        """Say why."""
        super().__init__(reason)
        self.is_absent = is_absent


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failure:
    at: datetime
    reason: str
    is_absent: bool


class SigningCertificates:
    """The certificates by which SNS's signatures are checked. One thread may fetch while another looks."""

    def __init__(self, *, endpoint_url: str | None = None, fetch_seconds: float = FETCH_SECONDS) -> None:
        """Fetch from AWS's hosts over HTTPS.

        Args:
            endpoint_url: where SNS is played instead, by AWS's own variable `AWS_ENDPOINT_URL_SNS`; the path of a
                certificate's address is asked for there.
            fetch_seconds: how long one may take.
        """
        self._endpoint_url = endpoint_url
        self._fetch_seconds = fetch_seconds
        self._guard = threading.Lock()
        self._kept: OrderedDict[str, SigningCertificate] = OrderedDict()
        self._failures: OrderedDict[str, _Failure] = OrderedDict()

    def known(self, url: str) -> SigningCertificate | None:
        """The certificate of this address, if it was fetched."""
        with self._guard:
            found = self._kept.get(url)
            if found is not None:
                self._kept.move_to_end(url)
        return found

    def fetch(self, url: str, *, at: datetime) -> None:
        """Fetch the certificate of an address of SNS's; it is known after that.

        Args:
            url: as a message names it.
            at: now, aware UTC.

        Raises:
            SignatureIsWrongError: the address is none of SNS.
            CertificateNotHadError: it can't be had now.
        """
        if self.known(url) is not None:
            return
        path = path_of(url)
        source = url if self._endpoint_url is None else self._endpoint_url.rstrip("/") + path
        failed = self._failures.get(url)
        if failed is not None and timedelta() <= at - failed.at < REST:
            raise CertificateNotHadError(failed.reason, is_absent=failed.is_absent)
        try:
            self._keep(url, read_certificate(self._within_time(source)))
        except NotACertificateError as error:
            raise self._failed(url, CertificateNotHadError(str(error)), at=at) from error
        except CertificateNotHadError as error:
            raise self._failed(url, error, at=at) from error

    def _keep(self, url: str, certificate: SigningCertificate) -> None:
        self._failures.pop(url, None)
        with self._guard:
            self._kept[url] = certificate
            if len(self._kept) > CERTIFICATES_KEPT:
                self._kept.popitem(last=False)

    def _failed(self, url: str, error: CertificateNotHadError, *, at: datetime) -> CertificateNotHadError:
        self._failures[url] = _Failure(at=at, reason=str(error), is_absent=error.is_absent)
        self._failures.move_to_end(url)
        if len(self._failures) > CERTIFICATES_KEPT:
            self._failures.popitem(last=False)
        return error

    def _within_time(self, source: str) -> bytes:
        """What lies there. A host that sends a byte now and then would otherwise have all the time that it wants."""
        answers: queue.SimpleQueue[bytes | CertificateNotHadError] = queue.SimpleQueue()

        def fetch() -> None:
            try:
                answers.put(_get(source, seconds=self._fetch_seconds))
            except CertificateNotHadError as error:
                answers.put(error)
            except Exception as error:  # noqa: BLE001 -- whatever went wrong on the way, the message has to wait
                answers.put(CertificateNotHadError(_in_words(error)))

        threading.Thread(target=fetch, name="certificate", daemon=True).start()
        try:
            answer = answers.get(timeout=self._fetch_seconds)
        except queue.Empty:
            raise CertificateNotHadError(f"It did not arrive within {self._fetch_seconds:g} seconds.") from None
        if isinstance(answer, CertificateNotHadError):
            raise answer
        return answer


def _get(source: str, *, seconds: float) -> bytes:
    """Ask for it in the way that boto3 asks AWS: by its proxies and its authorities, and following nobody elsewhere."""
    authorities = botocore.session.get_session().get_config_variable("ca_bundle")
    http = URLLib3Session(verify=authorities or True, proxies=get_environ_proxies(source), timeout=ceil(seconds))
    try:
        answer = http.send(AWSRequest(method="GET", url=source, stream_output=True).prepare())
        try:
            if answer.status_code != HTTPStatus.OK:
                raise CertificateNotHadError(
                    f"The host answered with HTTP status {answer.status_code}.",
                    is_absent=answer.status_code in _ANSWERS_OF_ABSENCE,
                )
            pem: bytes = answer.raw.read(CERTIFICATE_BYTES_MAX + 1)
        finally:
            answer.raw.close()
    finally:
        http.close()
    if len(pem) > CERTIFICATE_BYTES_MAX:
        raise CertificateNotHadError("What the host answered is far too long.")
    return pem


def _in_words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
