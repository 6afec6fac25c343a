"""How templates write times and numbers."""

from datetime import UTC, datetime
from typing import Final

import flask
from markupsafe import Markup, escape

from api.pages import inbox_words, words
from api.parts import current_parts
from ledger import drift
from ledger.times import written

_TEMPLATE: Final = Markup('<time datetime="{iso}" data-show="{show}" title="{utc}">{text}</time>')
_CODE: Final = Markup("<code>{}</code>")


def moment(at: datetime | None) -> Markup:
    """A time to the second; the page's script writes it in the reader's zone."""
    return _time(at, show="moment", date="{0.day} {0:%B %Y}, {0:%H:%M:%S} UTC")


def short(at: datetime | None) -> Markup:
    """A time to the minute, as a table has room for."""
    return _time(at, show="short", date="{0.day} {0:%b %Y}, {0:%H:%M} UTC")


def day(at: datetime | None) -> Markup:
    """A time of which the day matters."""
    return _time(at, show="day", date="{0.day} {0:%B %Y}")


def short_day(at: datetime | None) -> Markup:
    """A time of which the day matters, in a table."""
    return _time(at, show="short-day", date="{0.day} {0:%b %Y}")


def _time(at: datetime | None, *, show: str, date: str) -> Markup:
    if at is None:
        return Markup("&ndash;")
    utc = at.astimezone(UTC)
    return _TEMPLATE.format(
        iso=written(utc, timespec="milliseconds"),
        show=show,
        utc=f"{utc.day} {utc:%B %Y}, {utc:%H:%M:%S} UTC",
        text=date.format(utc),
    )


def ago(at: datetime) -> str:
    """How long ago something was."""
    return words.ago(at, now=_now())


def sentence(parts: words.Sentence) -> Markup:
    """A sentence with its times."""
    return Markup("").join(moment_of(part) for part in parts)


def moment_of(part: str | datetime) -> Markup:
    """A part of a sentence."""
    return day(part) if isinstance(part, datetime) else escape(part)


def marked(text: str) -> Markup:
    """A text in which what stands between backticks, such as a command, is code."""
    parts = enumerate(text.split("`"))
    return Markup("").join(_CODE.format(part) if number % 2 else escape(part) for number, part in parts)


def number(value: int) -> str:
    """A number with its thousands apart."""
    return f"{value:,}"


def _now() -> datetime:
    return current_parts().ledger.now()


def register(app: flask.Flask) -> None:
    """Let templates of this app use them."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        ago=ago,
        became=inbox_words.became,
        counted=words.counted,
        day=day,
        joined=words.joined,
        led_to=inbox_words.led_to,
        license_name=words.license_name,
        marked=marked,
        message_kind=inbox_words.kind,
        moment=moment,
        need_look=inbox_words.need_look,
        next_step=inbox_words.next_step,
        number=number,
        reason=words.reason,
        sentence=sentence,
        short=short,
        short_day=short_day,
        tell=words.sentence,
        was_done=drift.what_was_done,
        would_do=drift.what_it_would_do,
    )
    app.jinja_env.globals.update(
        ACTORS=words.ACTORS,
        ACTOR_TITLES=words.ACTOR_TITLES,
        BLOCK_REASONS=words.BLOCK_REASONS,
        CHANGES=words.CHANGES,
        DRIFT_KINDS=drift.KINDS,
        EVENT_KINDS=words.EVENT_KINDS,
        LICENSE_STATUSES=words.LICENSE_STATUSES,
        DISMISSAL_REASONS=inbox_words.DISMISSAL_REASONS,
        DISMISSED_FIRST=inbox_words.DISMISSED_FIRST,
        MESSAGE_HEADLINES=inbox_words.HEADLINES,
        MESSAGE_KINDS=inbox_words.KINDS,
        MESSAGE_STATUSES=inbox_words.STATUSES,
        RENEWALS=words.RENEWALS,
        OFFERED=words.OFFERED,
        ROLES=words.ROLES,
        SEAT_STATUSES=words.SEAT_STATUSES,
        now=_now,
    )
