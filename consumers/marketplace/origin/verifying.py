"""Verifying: new messages are worked on only when it is known that they come from where they may come from.

It is done when they are in the inbox already, and certificates are fetched beside the work: one that can't be had makes
its own messages wait, and no others.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import sqlalchemy
import structlog

from consumers.marketplace.inbox import MARKETPLACE
from consumers.marketplace.origin.certificates import CertificateNotHadError, SigningCertificates
from consumers.marketplace.origin.judging import Admitted, Refused, Wanting, judge
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.standing import MessageStatus
from consumers.marketplace.tables import INBOX
from consumers.marketplace.turns import again_until
from ledger.ledger import Ledger
from ledger.times import microseconds, moment
from ledger.transaction import Caller, Transaction, Work

WAIT_MIN: Final = timedelta(seconds=5)
"""The first pause of a message whose certificate can't be had; later ones are half of the time that it has waited."""
WAIT_MAX: Final = timedelta(minutes=15)
ABSENT_FOR: Final = timedelta(days=1)
"""How long a message waits for a certificate of which its host says that there is none."""

_AT_ONCE: Final = 200
_LOGGER: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    """A message of which it is not known where it comes from; its text is not carried along, since it may be long."""

    number: int
    message_id: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """The messages that want one certificate."""

    messages: Sequence[_Message]
    at: datetime


_Found: TypeAlias = tuple[Mapping[str, Any], Sequence[_Message]]
"""The columns in which it is written down what was found of some messages."""

_UNVERIFIED: Final = (INBOX.c.status == MessageStatus.NEW) & INBOX.c.verified_at.is_(None)
_DUE: Final = (
    sqlalchemy.select(INBOX.c.number, INBOX.c.message_id, INBOX.c.received_at, INBOX.c.body)
    .where(_UNVERIFIED, INBOX.c.due_at <= sqlalchemy.bindparam("at"), INBOX.c.number > sqlalchemy.bindparam("after"))
    .order_by(INBOX.c.number)
    .limit(_AT_ONCE)
)
"""Asked in each turn of the work, so that it is made once."""


class Verifier:
    """Finds out where the new messages of the inbox come from."""

    def __init__(self, ledger: Ledger, settings: MarketplaceSettings, certificates: SigningCertificates) -> None:
        """Look at the messages beside this ledger.

        Args:
            ledger: whose inbox it is.
            settings: where messages may come from.
            certificates: by which signatures are checked.
        """
        self._ledger = ledger
        self._settings = settings
        self._certificates = certificates
        self._guard = threading.Lock()
        self._wanted: dict[str, _Wanted] = {}
        self._some_wanted = threading.Event()

    def announce(self) -> None:
        """Say in the log what is not asked of messages."""
        settings = self._settings
        if not settings.sns_verify:
            _LOGGER.warning("messages of SNS are taken without a look at their signature: LEDGER_SNS_VERIFY is off")
        if settings.sns_topic_arns is None:
            _LOGGER.info("messages of any SNS topic are taken: LEDGER_SNS_TOPIC_ARNS is not set")
        if settings.aws_accounts is None:
            _LOGGER.info("events of any AWS account are taken: LEDGER_AWS_ACCOUNTS is not set")

    # -- in the turn of the work ---------------------------------------------------------------------------------------

    def verify_new(self, *, at: datetime) -> bool:
        """Judge all new messages that can be judged by the certificates at hand; whether there were any.

        Raises:
            LedgerError: the database can't be written.
        """
        last, judged = 0, False
        wanted: dict[str, list[_Message]] = {}
        while due := self._due(at, after=last):
            last = due[-1][0].number
            judged |= self._judge(due, wanted, at=at)
        with self._guard:
            self._wanted = {url: _Wanted(messages=messages, at=at) for url, messages in wanted.items()}
        if wanted:
            self._some_wanted.set()
        return judged

    def _due(self, at: datetime, *, after: int) -> Sequence[tuple[_Message, str]]:
        values = {"at": microseconds(at), "after": after}
        with self._ledger.reading.connect() as reading:
            return [(_message(*row), body) for *row, body in reading.execute(_DUE, values)]

    def _judge(self, due: Sequence[tuple[_Message, str]], wanted: dict[str, list[_Message]], *, at: datetime) -> bool:
        admitted: list[_Message] = []
        refused: list[_Found] = []
        for message, body in due:
            verdict = judge(
                body, settings=self._settings, received_at=message.received_at, find=self._certificates.known
            )
            match verdict:
                case Admitted():
                    admitted.append(message)
                case Refused(reason=reason):
                    refused.append((_refused(message, reason), [message]))
                case Wanting(certificate_url=url):
                    wanted.setdefault(url, []).append(message)
        if not admitted and not refused:
            return False
        columns = {"verified_at": microseconds(at), "due_at": microseconds(at), "reason": None}
        self._write([(columns, admitted), *refused])
        return True

    # -- beside the work -----------------------------------------------------------------------------------------------

    def fetch_until(self, stop: threading.Event, *, fetched: Callable[[], None]) -> None:
        """Fetch what is wanted until told to stop.

        Args:
            stop: set to stop; `wake` lets it be noticed at once.
            fetched: called when messages may be judged that could not be before.
        """

        def turn() -> None:
            self._some_wanted.wait()
            self._some_wanted.clear()
            while not stop.is_set() and self.fetch_wanted():
                fetched()

        again_until(stop, turn, failed="it could not be written down that a certificate can't be had")

    def wake(self) -> None:
        """Let `fetch_until` notice that it has been told to stop."""
        self._some_wanted.set()

    def fetch_wanted(self) -> bool:
        """Fetch one certificate that messages want, or let them wait; whether any was wanted.

        Raises:
            LedgerError: the database can't be written.
        """
        with self._guard:
            url = next(iter(self._wanted), None)
            if url is None:
                return False
            wanted = self._wanted.pop(url)
        try:
            self._certificates.fetch(url, at=wanted.at)
        except CertificateNotHadError as error:
            messages = wanted.messages
            _LOGGER.warning("a certificate of SNS can't be had", url=url, reason=str(error), messages=len(messages))
            self._write([(_postponed(message, error, at=wanted.at), [message]) for message in messages])
        return True

    # -- what both write down ------------------------------------------------------------------------------------------

    def _write(self, found: Sequence[_Found]) -> None:
        """Write down what was found of those messages of which nobody has done so meanwhile."""

        def decide(transaction: Transaction) -> None:
            rows = transaction.rows
            numbers = [message.number for _, messages in found for message in messages]
            query = sqlalchemy.select(INBOX.c.number, INBOX.c.message_id, INBOX.c.received_at)
            # By the time when it came, too: one that another process refused can come again with another text.
            still = {_message(*row) for row in rows.execute(query.where(_UNVERIFIED, INBOX.c.number.in_(numbers)))}
            for columns, messages in found:
                these = [message.number for message in messages if message in still]
                rows.execute(sqlalchemy.update(INBOX).where(INBOX.c.number.in_(these)).values(columns))

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))


def _message(number: int, message_id: str, received_at: int) -> _Message:
    return _Message(number=number, message_id=message_id, received_at=moment(received_at))


def _refused(message: _Message, reason: str) -> Mapping[str, Any]:
    _LOGGER.warning("a message does not come from where it may come from", message_id=message.message_id, reason=reason)
    return {"status": MessageStatus.FAILED, "reason": reason, "due_at": None}


def _postponed(message: _Message, error: CertificateNotHadError, *, at: datetime) -> Mapping[str, Any]:
    waited = at - message.received_at
    if error.is_absent and waited >= ABSENT_FOR:
        return _refused(message, f"The certificate of its signature was not there for a day. {error}")
    pause = min(max(waited / 2, WAIT_MIN), WAIT_MAX)
    reason = f"The certificate of its signature can't be had, and is asked for again. {error}"
    return {"reason": reason, "due_at": microseconds(at + pause)}
