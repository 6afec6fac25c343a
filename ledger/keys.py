"""Keys: who may call the interface. Issued and revoked by events; only a keyed hash of the secret is stored."""

import contextlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy

from ledger.errors import LedgerError
from ledger.license.events import LicenseId
from ledger.store import Store, StoreError
from ledger.store.tables import API_KEYS
from ledger.system.events import KeyIssued, KeyRevoked, KeyRole
from ledger.times import microseconds, moment
from ledger.transaction import Caller, Transaction, Work
from ledger.writer import Writer

PREFIX: Final = "llk_"


class KeyIsNotFoundError(LedgerError):
    """No key has this id."""

    CODE = "NOT_FOUND"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyScope:
    """What a key reaches: these licenses, or those of a customer (and product), or, all null, everything.

    A product is named by its id or by its code.
    """

    licenses: tuple[LicenseId, ...] | None = None
    customer_id: str | None = None
    product_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key as it is listed; the secret itself is shown once, when it is issued."""

    key_id: str
    name: str
    role: KeyRole
    scope: KeyScope
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, *, at: datetime) -> bool:
        """Whether it opens anything at a moment."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class Keys:
    """The keys of the ledger."""

    def __init__(self, writer: Writer, store: Store) -> None:
        """Write through a writer, read from the store."""
        self._writer = writer
        self._store = store
        self._hash_key = store.secret("keys")
        # Every request asks this, so it goes to the driver as it is: a tenth of the time.
        self._select_by_hash = _by_hash(b"").compile(dialect=store.reading.dialect)

    def issue(
        self,
        *,
        name: str,
        role: KeyRole,
        scope: KeyScope,
        expires_at: datetime | None,
        caller: Caller,
        secret: str | None = None,
    ) -> tuple[Key, str]:
        """Give out a key; returns it with its secret, which can't be shown again.

        A `secret` may be given; the key of one that is known already stays as it is.
        """
        secret = secret or PREFIX + secrets.token_urlsafe(32)
        secret_hash = self._hash(secret)

        def decide(transaction: Transaction) -> Key:
            known = transaction.rows.execute(_by_hash(secret_hash)).one_or_none()
            if known is not None:
                return _key(known)
            key = _new_key(name, role, scope, issued_at=transaction.at, expires_at=expires_at)
            _record(transaction, key, secret_hash)
            return key

        return self._writer.submit(Work(decide=decide, caller=caller, writes_rows=True)), secret

    def issue_first(self, *, name: str, secret: str, caller: Caller) -> bool:
        """Give out an operator key if no key was ever given out; whether it was."""

        def decide(transaction: Transaction) -> bool:
            if transaction.rows.execute(sqlalchemy.select(API_KEYS.c.key_id).limit(1)).first() is not None:
                return False
            key = _new_key(name, KeyRole.OPERATOR, KeyScope(), issued_at=transaction.at, expires_at=None)
            _record(transaction, key, self._hash(secret))
            return True

        return self._writer.submit(Work(decide=decide, caller=caller, writes_rows=True))

    def revoke(self, key_id: str, *, caller: Caller) -> Key:
        """Take a key back, at once; one that was taken back already stays so.

        Raises:
            KeyIsNotFoundError: there is none of this id.
        """

        def decide(transaction: Transaction) -> Key:
            row = transaction.rows.execute(_by_id(key_id)).one_or_none()
            if row is None:
                msg = "There is no such key. Look it up in the list of keys."
                raise KeyIsNotFoundError(msg)
            if row.revoked_at_microseconds is None:
                transaction.append_system([KeyRevoked(key_id=key_id)])
                revoked = {"revoked_at_microseconds": microseconds(transaction.at)}
                transaction.rows.execute(sqlalchemy.update(API_KEYS).where(API_KEYS.c.key_id == key_id).values(revoked))
            return _key(transaction.rows.execute(_by_id(key_id)).one())

        return self._writer.submit(Work(decide=decide, caller=caller, writes_rows=True))

    def find(self, secret: str) -> Key | None:
        """The key with this secret, valid or not; null if there is none.

        Raises:
            StoreError: the database can't be read.
        """
        secret_hash = self._hash(secret)
        row = self._row_by_hash(secret_hash)
        if row is None or not hmac.compare_digest(row.secret_hash, secret_hash):
            return None
        return _key(row)

    def get(self, key_id: str) -> Key | None:
        """The key of this id; null if there is none."""
        with self._store.reading.connect() as connection:
            row = connection.execute(_by_id(key_id)).one_or_none()
        return None if row is None else _key(row)

    def all(self) -> Sequence[Key]:
        """Every key, revoked ones too, in the order in which they were issued."""
        order = (API_KEYS.c.issued_at_microseconds, API_KEYS.c.key_id)
        with self._store.reading.connect() as connection:
            return [_key(row) for row in connection.execute(sqlalchemy.select(API_KEYS).order_by(*order))]

    def _row_by_hash(self, secret_hash: bytes) -> "_KeyRow | None":
        reading = self._store.reading
        try:
            with contextlib.closing(reading.raw_connection()) as connection:
                cursor = connection.cursor()
                named = dict.fromkeys(self._select_by_hash.params, secret_hash)
                cursor.execute(
                    str(self._select_by_hash), (*named.values(),) if self._select_by_hash.positiontup else named
                )
                row = cursor.fetchone()
        except (sqlalchemy.exc.SQLAlchemyError, reading.dialect.loaded_dbapi.Error) as error:
            raise StoreError(str(error)) from error
        return None if row is None else _KeyRow(*row)

    def _hash(self, secret: str) -> bytes:
        return hmac.digest(self._hash_key, secret.encode("utf-8", "surrogatepass"), "sha256")


class _KeyRow(NamedTuple):
    """A row of the table, in the order of its columns."""

    key_id: str
    secret_hash: bytes
    name: str
    role: str
    licenses: str | None
    customer_id: str | None
    product_id: str | None
    expires_at_microseconds: int | None
    issued_at_microseconds: int
    revoked_at_microseconds: int | None


def _by_hash(secret_hash: bytes) -> sqlalchemy.Select[Any]:
    return sqlalchemy.select(API_KEYS).where(API_KEYS.c.secret_hash == secret_hash)


def _by_id(key_id: str) -> sqlalchemy.Select[Any]:
    return sqlalchemy.select(API_KEYS).where(API_KEYS.c.key_id == key_id)


def _new_key(name: str, role: KeyRole, scope: KeyScope, *, issued_at: datetime, expires_at: datetime | None) -> Key:
    return Key(
        key_id=f"key-{secrets.token_hex(8)}",
        name=name,
        role=role,
        scope=scope,
        issued_at=issued_at,
        expires_at=expires_at,
        revoked_at=None,
    )


def _record(transaction: Transaction, key: Key, secret_hash: bytes) -> None:
    transaction.append_system([_issued(key)])
    transaction.rows.execute(sqlalchemy.insert(API_KEYS).values(_row(key, secret_hash)))


def _issued(key: Key) -> KeyIssued:
    return KeyIssued(
        key_id=key.key_id,
        name=key.name,
        role=key.role,
        licenses=key.scope.licenses,
        customer_id=key.scope.customer_id,
        product_id=key.scope.product_id,
        expires_at=key.expires_at,
    )


def _row(key: Key, secret_hash: bytes) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "secret_hash": secret_hash,
        "name": key.name,
        "role": key.role.value,
        "licenses": None if key.scope.licenses is None else json.dumps(key.scope.licenses),
        "customer_id": key.scope.customer_id,
        "product_id": key.scope.product_id,
        "expires_at_microseconds": None if key.expires_at is None else microseconds(key.expires_at),
        "issued_at_microseconds": microseconds(key.issued_at),
        "revoked_at_microseconds": None,
    }


def _key(row: sqlalchemy.Row[Any] | _KeyRow) -> Key:
    return Key(
        key_id=row.key_id,
        name=row.name,
        role=KeyRole(row.role),
        scope=KeyScope(
            licenses=None if row.licenses is None else tuple(json.loads(row.licenses)),
            customer_id=row.customer_id,
            product_id=row.product_id,
        ),
        issued_at=moment(row.issued_at_microseconds),
        expires_at=None if row.expires_at_microseconds is None else moment(row.expires_at_microseconds),
        revoked_at=None if row.revoked_at_microseconds is None else moment(row.revoked_at_microseconds),
    )
