"""The doctor: looks whether the ledger will hear AWS Marketplace and may ask it, and says what is wrong in words.

It looks by the very calls that the ledger makes, with the ledger's own settings and credentials, and changes nothing.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from consumers.marketplace.doctor import account, channels, marketplace, queue, senders
from consumers.marketplace.doctor.asking import Instruments, InstrumentsAreUnusableError
from consumers.marketplace.doctor.findings import (
    Examination,
    Finding,
    Findings,
    Verdict,
    could_not_look,
    is_wrong,
    ok,
    warning,
    wrong,
)

__all__ = [
    "Doctor",
    "DoctorSettings",
    "Examination",
    "Finding",
    "Verdict",
    "is_wrong",
    "ok",
    "warning",
    "wrong",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorSettings:
    """What the doctor is told of the ledger.

    Attributes:
        queue_url: the queue; null if the ledger takes no messages from one.
        products: by product code, the dimensions that count users.
        accounts: the AWS accounts of which messages are taken; none is any.
        topic_arns: the topics of SNS from which messages are taken; none is any.
        verifies: whether a message of SNS needs a valid signature.
    """

    queue_url: str | None
    products: Mapping[str, Collection[str]]
    accounts: Collection[str]
    topic_arns: Collection[str]
    verifies: bool


class Doctor:
    """Examines one ledger's surroundings."""

    def __init__(self, settings: DoctorSettings, *, now: Callable[[], datetime]) -> None:
        """Nothing is looked at yet.

        Args:
            settings: of the ledger.
            now: our clock, aware UTC.
        """
        self._settings = settings
        self._now = now
        self._blind = False

    def examinations(self) -> Generator[Examination, None, None]:
        """What there is to look at, in an order in which what others hang on comes first."""
        try:
            instruments = Instruments.open(now=self._now)
        except InstrumentsAreUnusableError as error:
            told = str(error)
            yield Examination(title="credentials", look=lambda: iter([_unusable(told)]))
            return
        try:
            yield from self._with(instruments)
        finally:
            instruments.close()

    def examine(self, examination: Examination) -> tuple[Finding, ...]:
        """Look; whatever happens is a finding."""
        if self._blind and examination.needs_credentials:
            return (could_not_look(examination.title, "The credentials come first."),)
        try:
            return tuple(examination.look())
        except Exception as error:  # noqa: BLE001 -- whoever is ill is not to see where the doctor stumbled
            told = f"The look at it broke off: {type(error).__name__}."
            return (could_not_look(examination.title, told, "Tell it to the makers of the ledger."),)

    def _with(self, instruments: Instruments) -> Iterator[Examination]:
        settings = self._settings
        yield Examination(
            title="endpoints", look=partial(account.look_at_endpoints, instruments), needs_credentials=False
        )
        yield Examination(title="credentials", look=partial(self._look_at_credentials, instruments))
        yield Examination(
            title="region",
            look=partial(account.look_at_region, instruments, queue_url=settings.queue_url),
            needs_credentials=False,
        )
        yield from self._of_queue(instruments)
        yield Examination(
            title="products", look=partial(marketplace.look_at_products, instruments, products=settings.products)
        )
        yield Examination(title="registration", look=partial(marketplace.look_at_registration, instruments))
        yield Examination(title="agreements", look=partial(marketplace.look_at_agreements, instruments))
        yield Examination(title="clock", look=partial(account.look_at_clock, instruments), needs_credentials=False)

    def _of_queue(self, instruments: Instruments) -> Iterator[Examination]:
        url = self._settings.queue_url
        if url is None:
            yield Examination(title="queue", look=lambda: iter([_no_queue()]))
            return
        for title, look in (
            ("queue", queue.look_at_queue),
            ("undelivered", queue.look_at_undelivered),
            ("senders", senders.look_at_senders),
        ):
            yield Examination(title=title, look=partial(look, instruments, url))
        yield Examination(
            title="rule",
            look=partial(
                channels.look_at_rules,
                instruments,
                url,
                product_codes=self._settings.products,
                topic_arns=self._settings.topic_arns,
            ),
        )
        yield Examination(
            title="legacy topics",
            look=partial(
                channels.look_at_subscriptions,
                instruments,
                url,
                topic_arns=self._settings.topic_arns,
                verifies=self._settings.verifies,
            ),
        )

    def _look_at_credentials(self, instruments: Instruments) -> Findings:
        findings = tuple(account.look_at_credentials(instruments, accounts=self._settings.accounts))
        self._blind = findings[0].verdict is Verdict.WRONG
        return iter(findings)


def _unusable(told: str) -> Finding:
    return wrong("credentials", told, "Mend AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL… or the files in ~/.aws.")


def _no_queue() -> Finding:
    told = "LEDGER_SQS_QUEUE_URL is not set: the ledger hears nothing by itself."
    return warning("queue", told, "Set it to what the stack's output Settings says, unless messages come by Kafka.")
