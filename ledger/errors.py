"""What the ledger answers when it can't do what was asked: a stable code, a sentence, and what helps to act."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.license.events import LicenseId


class LedgerError(Exception):
    """A request that was not carried out; nothing was changed.

    Attributes:
        CODE: the stable code that programs rely on.
        detail: one or two sentences for people, saying what to do.
        members: what a caller needs to act, by its name in the HTTP interface.
    """

    CODE: ClassVar[str]

    def __init__(self, detail: str, **members: int | str | None) -> None:
        """Keep the sentence and the members."""
        super().__init__(detail)
        self.detail = detail
        self.members: Mapping[str, int | str | None] = members


class RefusedError(LedgerError):
    """A rule of the license refuses the command. Base of the refusals in `ledger.license.decisions`."""


class LicenseIsNotFoundError(LedgerError):
    """No license has this id, or not for this caller."""

    CODE: ClassVar[str] = "LICENSE_NOT_FOUND"

    def __init__(self, detail: str = "There is no such license. Look it up in the list of licenses.") -> None:
        """Say what to do."""
        super().__init__(detail)


class LicenseIsFoldedError(LicenseIsNotFoundError):
    """The license was another one's twin, which stands in its place.

    Attributes:
        into: the other one.
    """

    def __init__(self, into: "LicenseId") -> None:
        """Say which one."""
        super().__init__(f"This license was folded into {into}. Name that one instead.")
        self.into = into


class KeyIsClaimedError(LedgerError):
    """AWS names one license only by a key, and another license has this one."""

    CODE: ClassVar[str] = "KEY_CLAIMED"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("Another license has this key. Look up whose it is before it is given to a license.")


class NotRecordedError(LedgerError):
    """The ledger holds no such version or position."""

    CODE: ClassVar[str] = "NOT_RECORDED"


class TimeIsInvalidError(LedgerError):
    """A moment was asked for of which nothing can be said yet."""

    CODE: ClassVar[str] = "INVALID"


class IsStaleError(LedgerError):
    """What was to be changed has changed since the caller read it."""

    CODE: ClassVar[str] = "STALE"

    def __init__(self, *, version: int) -> None:
        """Say which version stands now."""
        super().__init__(
            "It has changed since you read it. Read it again, then decide whether the change is still wanted.",
            version=version,
        )


class IdempotencyKeyIsReusedError(LedgerError):
    """The same Idempotency-Key came with another request."""

    CODE: ClassVar[str] = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("This Idempotency-Key was used for another request. Make a new one for each request.")


class TooManyNewUsersError(LedgerError):
    """A client key brought more new users within an hour than it may."""

    CODE: ClassVar[str] = "TOO_MANY"

    def __init__(self, *, users_max: int, retry_after_seconds: int) -> None:
        """Say when it goes on."""
        super().__init__(
            f"This key has brought {users_max} new users within the hour. More can come when the next hour begins.",
            retry_after_seconds=retry_after_seconds,
        )


class TooManyLicensesError(LedgerError):
    """More licenses come into question than can be looked at for one user."""

    CODE: ClassVar[str] = "TOO_MANY_LICENSES"

    def __init__(self, *, licenses_max: int) -> None:
        """Say what to do."""
        super().__init__(
            f"This customer has more than {licenses_max:,} licenses of the product. Name the license, or use a key that"
            " lists the licenses which are to be looked at.",
            licenses_max=licenses_max,
        )


class QueueIsFullError(LedgerError):
    """Too many commands wait already."""

    CODE: ClassVar[str] = "QUEUE_FULL"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("Too many requests are waiting. Nothing was changed; send it again in a second.")


class UnavailableError(LedgerError):
    """The database can't be read or written now."""

    CODE: ClassVar[str] = "UNAVAILABLE"
