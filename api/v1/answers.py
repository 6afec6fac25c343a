"""What commands and questions answer, as JSON objects."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from api.problems import problem_of
from ledger.license.access import SENTENCES, AccessCode
from ledger.license.decisions import UserIsBlockedError
from ledger.license.events import RenewalIntent
from ledger.license.state import Renewal
from ledger.seats import AccessAnswer, Change, ChangeResult, ChangesAnswer, Preview, SeatAnswer, SeatChange, SeatRecord
from projections.license_information import LicenseInformation

CHECK_AGAIN_IF_REFUSED: Final = timedelta(minutes=1)


def license_information(information: LicenseInformation) -> dict[str, object]:
    """What is told about one license."""
    return {
        "license_id": information.license_id,
        "customer_id": information.customer_id,
        "product_id": information.product_id,
        "product_code": information.product_code,
        "company_name": information.company_name,
        "seats_max": information.seats_max,
        "seats_active": information.seats_active,
        "seats_blocked": information.seats_blocked,
        "seats_available": information.seats_available,
        "status": information.status,
        "lapse_reason": information.lapse_reason,
        "ended_at": information.ended_at,
        "renewal_date": information.renewal_date,
        "renewal": _renewal(information.renewal),
        "usable_until": information.usable_until,
        "license_arn": information.license_arn,
        "agreement_id": information.agreement_id,
        "folded_into": information.folded_into,
        "version": information.version,
        "position": information.position,
        "as_of": information.as_of,
    }


def _renewal(told: Renewal | None) -> dict[str, object]:
    """What becomes of the contract at its date, which is not known before AWS tells it."""
    if told is None:
        return {"intent": RenewalIntent.UNKNOWN, "source": None, "announced_at": None}
    return {"intent": told.intent, "source": told.source, "announced_at": told.announced_at}


def seat(record: SeatRecord, **more: Any) -> dict[str, object]:  # noqa: ANN401
    """A seat, with what is said beside it."""
    return {
        "license_id": record.license_id,
        "seat_id": record.seat_id,
        "user": record.user,
        "status": record.status,
        "activated_at": record.activated_at,
        "blocked_at": record.blocked_at,
        "deleted_at": record.deleted_at,
        "reason": record.reason,
        "note": record.note,
        "actor": record.actor,
        "version": record.version,
        **more,
    }


def seat_answer(answer: SeatAnswer) -> dict[str, object]:
    """The seat after a command."""
    return seat(answer.seat, license_version=answer.license_version, position=answer.position)


def status_of(answer: SeatAnswer | ChangeResult) -> HTTPStatus:
    """201 where a seat was taken."""
    return HTTPStatus.CREATED if answer.took_seat else HTTPStatus.OK


def changes_answer(answer: ChangesAnswer, changes: list[SeatChange]) -> dict[str, object]:
    """What became of many changes."""
    return {
        "results": [_result(change, result) for change, result in zip(changes, answer.results, strict=True)],
        "license_version": answer.license_version,
        "position": answer.position,
    }


def _result(change: SeatChange, result: ChangeResult) -> dict[str, object]:
    if result.refusal is None:
        return {"status": status_of(result), "code": None, "detail": None, "seat": _seat_or_null(result)}
    problem = problem_of(result.refusal)
    blocked = isinstance(result.refusal, UserIsBlockedError) and change.change is Change.DELETE
    return {
        "status": HTTPStatus.CONFLICT if blocked else problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "seat": _seat_or_null(result),
    }


def _seat_or_null(result: ChangeResult) -> dict[str, object] | None:
    return None if result.seat is None else seat(result.seat)


def access(answer: AccessAnswer, *, check_again: timedelta) -> dict[str, object]:
    """Whether a user may work."""
    allowed = answer.code is AccessCode.ALLOWED
    return {
        "allowed": allowed,
        "code": answer.code,
        "detail": SENTENCES[answer.code],
        "user": answer.user,
        "seat_id": answer.seat_id,
        "license_id": answer.license.license_id if answer.license else None,
        "usable_until": answer.usable_until,
        "check_again_at": _check_again_at(answer, allowed=allowed, check_again=check_again),
        "position": answer.position,
    }


def _check_again_at(answer: AccessAnswer, *, allowed: bool, check_again: timedelta) -> datetime:
    if not allowed:
        return answer.at + CHECK_AGAIN_IF_REFUSED
    at = answer.at + check_again
    return at if answer.usable_until is None else min(at, answer.usable_until)


def preview(answer: Preview) -> dict[str, object]:
    """What a seat limit would do."""
    return {
        "seats_max": answer.limit.seats_max,
        "seats_active": answer.seats_active,
        "seats_deleted": answer.limit.seats_deleted,
        "must_free_first": answer.limit.must_free_first,
        "users": answer.users,
        "license_version": answer.license_version,
        "position": answer.position,
    }
