"""Sign-ins to the pages: sessions, the links that begin one, and who came from AWS Marketplace to register.

All are rows beside the events and hold no secret: what a browser or a link carries is random, and only its keyed hash
is kept. A sign-in made with a key ends when the key does.
"""

import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text

from api.principal import Principal
from ledger.keys import Key, KeyScope
from ledger.ledger import Ledger
from ledger.license.events import Actor, ActorRole, LicenseId
from ledger.registration import Resolved
from ledger.system.events import KeyRole
from ledger.times import microseconds, moment
from ledger.transaction import Caller, Transaction, Work

SIGN_IN_LASTS: Final = timedelta(hours=12)
LINK_LASTS: Final = timedelta(minutes=10)
REGISTRATION_LASTS: Final = timedelta(hours=1)

METADATA: Final = MetaData()

_SIGN_INS: Final = Table(
    "sign_ins",
    METADATA,
    Column("session_hash", LargeBinary, primary_key=True),
    Column("sign_in_id", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("license_id", Text),
    Column("key_id", Text),
    Column("began_at_microseconds", BigInteger, nullable=False),
    Column("ends_at_microseconds", BigInteger, nullable=False, index=True),
)

_LINKS: Final = Table(
    "sign_in_links",
    METADATA,
    Column("link_hash", LargeBinary, primary_key=True),
    Column("license_id", Text, nullable=False),
    Column("ends_at_microseconds", BigInteger, nullable=False, index=True),
    Column("session_hash", LargeBinary),
)

_REGISTRATIONS: Final = Table(
    "registrations",
    METADATA,
    Column("registration_hash", LargeBinary, primary_key=True),
    Column("actor_id", Text, nullable=False),
    Column("license_id", Text, nullable=False),
    Column("customer_id", Text),
    Column("product_code", Text, nullable=False),
    Column("ends_at_microseconds", BigInteger, nullable=False, index=True),
)


class SignInIsRefusedError(Exception):
    """Nobody was signed in.

    Attributes:
        CODE: stable, for support.
        detail: one or two sentences that say why and what to do.
    """

    CODE: ClassVar[str]

    def __init__(self, detail: str) -> None:
        """Keep the sentence."""
        super().__init__(detail)
        self.detail = detail


class LinkIsSpentError(SignInIsRefusedError):
    """A sign-in link was used, is too old, or never was one."""

    CODE = "LINK_SPENT"

    def __init__(self) -> None:
        """Say how to get a new one."""
        super().__init__(
            "This sign-in link was used already or is older than 10 minutes. For a new one open Manage subscriptions in"
            " AWS Marketplace and choose Set up your account."
        )


class KeyIsRefusedError(SignInIsRefusedError):
    """What was given is no key, or not any more."""

    CODE = "KEY_REFUSED"

    def __init__(self) -> None:
        """Say what to look at."""
        super().__init__("This key is not known, was revoked or has expired. Check that it was copied as a whole.")


class KeyOpensNoPagesError(SignInIsRefusedError):
    """A key of a client program was given."""

    CODE = "KEY_OPENS_NO_PAGES"

    def __init__(self) -> None:
        """Say which keys do."""
        super().__init__(
            "This is the key of a client program: it signs users in and opens no pages. Sign in with the key of an"
            " operator, an administrator or an auditor."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """One sign-in, as it is listed.

    Attributes:
        sign_in_id: opaque; the actor's id of what is done with it.
        key_name: the name of the key that it was made with; null if it came from AWS Marketplace by a link.
    """

    sign_in_id: str
    role: KeyRole
    key_name: str | None
    began_at: datetime
    ends_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Registrant:
    """Who came from AWS Marketplace and may register the company behind a license.

    Attributes:
        actor: opaque, of this visit.
        license_id: the license that AWS named, or the one that it was folded into since.
        customer_id: the buyer's account, else the legacy identifier.
        product_code: as AWS names the product in its calls.
    """

    actor: Actor
    license_id: LicenseId
    customer_id: str | None
    product_code: str


class SignIns:
    """The sign-ins of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        """Keep them in the ledger's file."""
        self._ledger = ledger
        self._hash_key = ledger.secret("session")

    def sign_in_with_key(self, secret: str) -> str:
        """Begin a session with a key; returns what the browser is to carry.

        Raises:
            KeyIsRefusedError: there is no such key, or it is revoked or expired.
            KeyOpensNoPagesError: it is a client's.
        """
        key = self._ledger.keys.find(secret)
        if key is None or not key.is_valid(at=self._ledger.now()):
            raise KeyIsRefusedError
        if key.role is KeyRole.CLIENT:
            raise KeyOpensNoPagesError
        session = secrets.token_urlsafe(32)
        caller = Caller(Principal.of_key(key).actor)

        def decide(transaction: Transaction) -> None:
            self._begin(transaction, session, role=key.role, license_id=None, key_id=key.key_id)

        self._ledger.submit(Work(decide=decide, caller=caller, writes_rows=True))
        return session

    def link(self, license_id: LicenseId, *, caller: Caller) -> str:
        """Make a link that signs in as `admin` of a license: once, within 10 minutes. Returns its secret part."""
        token = secrets.token_urlsafe(32)

        def decide(transaction: Transaction) -> None:
            _forget_old(transaction)
            row = {
                "link_hash": self._hash("link", token),
                "license_id": license_id,
                "ends_at_microseconds": microseconds(transaction.at + LINK_LASTS),
            }
            _keep(transaction, _LINKS, row)

        self._ledger.submit(Work(decide=decide, caller=caller, writes_rows=True))
        return token

    def is_open(self, link: str) -> bool:
        """Whether a link would sign in now; asking does not use it up."""
        with self._ledger.reading.connect() as connection:
            row = connection.execute(self._link_row(link)).one_or_none()
        return row is not None and _link_is_open(row, at=self._ledger.now())

    def redeem(self, link: str) -> str:
        """Use a link up; returns the session that the browser is to carry.

        Raises:
            LinkIsSpentError: it was used, is older than 10 minutes, or is none.
        """
        session = secrets.token_urlsafe(32)
        session_hash = self._hash("session", session)

        def decide(transaction: Transaction) -> None:
            row = transaction.rows.execute(self._link_row(link)).one_or_none()
            # The same work may run twice if the database failed in between: its own mark does not stop it.
            if row is None or (row.session_hash != session_hash and not _link_is_open(row, at=transaction.at)):
                raise LinkIsSpentError
            mark = sqlalchemy.update(_LINKS).where(_LINKS.c.link_hash == row.link_hash)
            transaction.rows.execute(mark.values(session_hash=session_hash))
            license_id = LicenseId(row.license_id)
            self._begin(transaction, session, role=KeyRole.ADMIN, license_id=license_id, key_id=None)

        self._ledger.submit(Work(decide=decide, caller=_SIGN_IN_CALLER, writes_rows=True))
        return session

    def find(self, session: str) -> Principal | None:
        """Who carries this session; null if it has ended, or the key behind it has."""
        with self._ledger.reading.connect() as connection:
            row = connection.execute(
                sqlalchemy.select(_SIGN_INS).where(_SIGN_INS.c.session_hash == self._hash("session", session))
            ).one_or_none()
        if row is None or self._ledger.now() >= moment(row.ends_at_microseconds):
            return None
        if row.key_id is not None:
            return self._by_key(row)
        scope = KeyScope(licenses=(LicenseId(row.license_id),))
        return Principal.of(role=KeyRole(row.role), scope=scope, actor_id=row.sign_in_id, key_id=None)

    def of_license(
        self, license_id: LicenseId, *, customer_ids: Collection[str], products: Collection[str]
    ) -> Sequence[SignIn]:
        """The sign-ins that reach this license and not everything, the latest first.

        Args:
            license_id: the license.
            customer_ids: whose it is; sign-ins with a key of this customer reach it too.
            products: of which product: its ids and codes.
        """
        now = self._ledger.now()
        found = []
        for row, key in self._running(at=now):
            if key is None:
                reaches = row.license_id == license_id
            else:
                scope = self._with_successors(key.scope)
                reaches = key.is_valid(at=now) and _names(scope, license_id, customer_ids, products)
            if reaches:
                found.append(_sign_in(row, key))
        return found

    def end(self, sign_in_id: str, *, caller: Caller) -> None:
        """End a sign-in by its id; one that has ended stays so."""

        def decide(transaction: Transaction) -> None:
            transaction.rows.execute(sqlalchemy.delete(_SIGN_INS).where(_SIGN_INS.c.sign_in_id == sign_in_id))

        self._ledger.submit(Work(decide=decide, caller=caller, writes_rows=True))

    def sign_out(self, session: str) -> None:
        """End the sign-in of a browser."""
        session_hash = self._hash("session", session)

        def decide(transaction: Transaction) -> None:
            transaction.rows.execute(sqlalchemy.delete(_SIGN_INS).where(_SIGN_INS.c.session_hash == session_hash))

        self._ledger.submit(Work(decide=decide, caller=_SIGN_IN_CALLER, writes_rows=True))

    def id_of(self, session: str) -> str | None:
        """The id of a browser's sign-in."""
        query = sqlalchemy.select(_SIGN_INS.c.sign_in_id).where(
            _SIGN_INS.c.session_hash == self._hash("session", session)
        )
        with self._ledger.reading.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def keep_registration(self, resolved: Resolved, *, cause: str) -> str:
        """Remember for an hour whom AWS named; returns the random value by which the browser finds it again."""
        registration = secrets.token_urlsafe(32)
        actor = Actor(ActorRole.ADMIN, f"registration-{secrets.token_hex(8)}")

        def decide(transaction: Transaction) -> None:
            _forget_old(transaction)
            row = {
                "registration_hash": self._hash("registration", registration),
                "actor_id": actor.id,
                "license_id": resolved.license_id,
                "customer_id": resolved.customer_id,
                "product_code": resolved.product_code,
                "ends_at_microseconds": microseconds(transaction.at + REGISTRATION_LASTS),
            }
            _keep(transaction, _REGISTRATIONS, row)

        self._ledger.submit(Work(decide=decide, caller=Caller(actor, cause), writes_rows=True))
        return registration

    def registrant(self, registration: str) -> Registrant | None:
        """Whom AWS named; null if that is more than an hour ago."""
        query = sqlalchemy.select(_REGISTRATIONS).where(
            _REGISTRATIONS.c.registration_hash == self._hash("registration", registration)
        )
        with self._ledger.reading.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or self._ledger.now() >= moment(row.ends_at_microseconds):
            return None
        return Registrant(
            actor=Actor(ActorRole.ADMIN, row.actor_id),
            license_id=self._ledger.twins.follow((LicenseId(row.license_id),))[-1],
            customer_id=row.customer_id,
            product_code=row.product_code,
        )

    def _begin(
        self, transaction: Transaction, session: str, *, role: KeyRole, license_id: LicenseId | None, key_id: str | None
    ) -> None:
        _forget_old(transaction)
        session_hash = self._hash("session", session)
        row = {
            "session_hash": session_hash,
            "sign_in_id": f"sign-in-{session_hash.hex()[:16]}",
            "role": role.value,
            "license_id": license_id,
            "key_id": key_id,
            "began_at_microseconds": microseconds(transaction.at),
            "ends_at_microseconds": microseconds(transaction.at + SIGN_IN_LASTS),
        }
        _keep(transaction, _SIGN_INS, row)

    def _by_key(self, row: sqlalchemy.Row[Any]) -> Principal | None:
        key = self._ledger.keys.get(row.key_id)
        if key is None or not key.is_valid(at=self._ledger.now()):
            return None
        scope = self._with_successors(key.scope)
        return Principal.of(role=key.role, scope=scope, actor_id=row.sign_in_id, key_id=key.key_id)

    def _with_successors(self, scope: KeyScope) -> KeyScope:
        """A scope, and with each license in it that was folded the one in its place."""
        if scope.licenses is None:
            return scope
        return replace(scope, licenses=self._ledger.twins.follow(scope.licenses))

    def _running(self, *, at: datetime) -> Sequence[tuple[sqlalchemy.Row[Any], Key | None]]:
        query = (
            sqlalchemy.select(_SIGN_INS)
            .where(_SIGN_INS.c.ends_at_microseconds > microseconds(at))
            .order_by(_SIGN_INS.c.began_at_microseconds.desc())
        )
        with self._ledger.reading.connect() as connection:
            rows = connection.execute(query).all()
        keys = {key.key_id: key for key in self._ledger.keys.all()}
        return [(row, keys[row.key_id] if row.key_id is not None else None) for row in rows]

    def _link_row(self, link: str) -> sqlalchemy.Select[Any]:
        return sqlalchemy.select(_LINKS).where(_LINKS.c.link_hash == self._hash("link", link))

    def _hash(self, what: str, secret: str) -> bytes:
        return hmac.digest(self._hash_key, f"{what}\0{secret}".encode("utf-8", "surrogatepass"), "sha256")


_SIGN_IN_CALLER: Final = Caller(Actor(ActorRole.SYSTEM, "sign-in"))


def _forget_old(transaction: Transaction) -> None:
    for table in (_SIGN_INS, _LINKS, _REGISTRATIONS):
        old = table.c.ends_at_microseconds <= microseconds(transaction.at)
        transaction.rows.execute(sqlalchemy.delete(table).where(old))


def _keep(transaction: Transaction, table: Table, row: Mapping[str, object]) -> None:
    """Insert a row; the same work may run twice if the database failed in between."""
    (key,) = table.primary_key
    if transaction.rows.scalar(sqlalchemy.select(key).where(key == row[key.name])) is None:
        transaction.rows.execute(sqlalchemy.insert(table).values(row))


def _link_is_open(row: sqlalchemy.Row[Any], *, at: datetime) -> bool:
    return row.session_hash is None and at < moment(row.ends_at_microseconds)


def _names(scope: KeyScope, license_id: LicenseId, customer_ids: Collection[str], products: Collection[str]) -> bool:
    """Whether a scope reaches this license without reaching everything."""
    if scope.licenses is not None:
        return license_id in scope.licenses
    if scope.customer_id not in customer_ids:
        return False
    return scope.product_id is None or scope.product_id in products


def _sign_in(row: sqlalchemy.Row[Any], key: Key | None) -> SignIn:
    return SignIn(
        sign_in_id=row.sign_in_id,
        role=KeyRole(row.role),
        key_name=None if key is None else key.name,
        began_at=moment(row.began_at_microseconds),
        ends_at=moment(row.ends_at_microseconds),
    )
