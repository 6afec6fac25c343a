"""`licensing-ledger history`: what happened to a license, from its events themselves."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from commands.parts import open_ledger, read_settings
from commands.texts import aware_time, license_id
from ledger.envelope import RecordedEvent
from ledger.ledger import Ledger
from ledger.license.events import LicenseId, SeatActivated, SeatBlocked, SeatDeleted, SeatUnblocked
from ledger.replay import Moment
from ledger.times import written
from ledger.users import InvalidTextError, identity_of, parse_user


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    recorded: RecordedEvent
    seat_id: str | None
    user: str | None


@click.command()
@click.argument("license_id_", metavar="LICENSE", callback=license_id)
@click.option("--user", help="Only what happened to this user.")
@click.option("--as-of", callback=aware_time, help="Only what was recorded up to then, such as 2026-03-03T14:03:00Z.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def history(*, license_id_: LicenseId, user: str | None, as_of: datetime | None, as_json: bool) -> None:
    """Print what happened to the license with the id LICENSE, oldest first."""
    identity = _identity(user)
    with open_ledger(read_settings()) as ledger:
        lines = [
            line
            for line in _lines(_events(ledger, license_id_, as_of))
            if identity is None or (line.user is not None and identity_of(line.user) == identity)
        ]
    for line in lines:
        click.echo(json.dumps(_as_json(line), ensure_ascii=False) if as_json else _in_words(line))


def _identity(user: str | None) -> str | None:
    if user is None:
        return None
    try:
        return parse_user(user).identity
    except InvalidTextError as error:
        raise click.BadParameter(str(error), param_hint="--user") from error


def _events(ledger: Ledger, license_id_: LicenseId, as_of: datetime | None) -> Sequence[RecordedEvent]:
    at = ledger.now() if as_of is None else as_of
    ledger.reach(at)
    then = ledger.past.license_at(license_id_, Moment(as_of=at))
    return ledger.past.events_until(license_id_, version=then.license.version)


def _lines(events: Sequence[RecordedEvent]) -> Iterator[_Line]:
    names: dict[str, str] = {}
    for recorded in events:
        event = recorded.event
        if isinstance(event, SeatActivated | SeatBlocked):
            names[event.seat_id] = event.user.plain
        if isinstance(event, SeatActivated | SeatBlocked | SeatUnblocked | SeatDeleted):
            yield _Line(recorded=recorded, seat_id=event.seat_id, user=names.get(event.seat_id))
        else:
            yield _Line(recorded=recorded, seat_id=None, user=None)


def _as_json(line: _Line) -> dict[str, object]:
    recorded = line.recorded
    return {
        "position": recorded.position,
        "version": recorded.version,
        "type": recorded.event.TYPE,
        "recorded_at": written(recorded.recorded_at, timespec="microseconds"),
        "actor": {"role": recorded.actor.role.value, "id": recorded.actor.id},
        "cause": recorded.cause,
        "seat_id": line.seat_id,
        "user": line.user,
        "data": json.loads(recorded.data),
    }


def _in_words(line: _Line) -> str:
    """One line that can be searched: version, time, what, whose, by whom, and what else the event says."""
    recorded = line.recorded
    what = click.style(recorded.event.TYPE.removeprefix("license."), bold=True)
    told = [what, *([line.user] if line.user else []), *_told(json.loads(recorded.data))]
    actor = f"by {recorded.actor.role.value} {recorded.actor.id}"
    return (
        f"{recorded.version:>6}  {written(recorded.recorded_at, timespec='microseconds')}  {' · '.join(told)} · {actor}"
    )


def _told(data: dict[str, object]) -> list[str]:
    plain = {name: value for name, value in data.items() if name != "seat_id" and not isinstance(value, dict)}
    return [f"{name} {value}" for name, value in plain.items() if value is not None]
