"""The story of the sandbox's tests: one product, two buyers, one noon."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from consumers.sandbox import Marketplace, Message, Product

SOFTPHONE = Product(
    code="74az0btybm649octamy0sktos", id="prod-k35yywhyj4eqg", title="Amazon Connect SoftPhone", dimensions=("users",)
)
ANALYTICAL_ENGINES = "111122223333"
"""The AWS account of the company where Ada works."""
COMPILERS_INC = "444422221111"
"""That of the company where Grace works."""
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
END_OF_MAY = datetime(2027, 5, 31, 23, 59, 59, 999_000, UTC)
END_OF_NEXT_MAY = END_OF_MAY.replace(year=2028)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        """It is noon."""
        self.at = NOON

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.at

    def move(self, by: timedelta) -> None:
        """Let time pass."""
        self.at += by


class RunningClock(Clock):
    """A clock that goes on by a microsecond whenever somebody looks at it."""

    def __call__(self) -> datetime:
        """Tell the time."""
        self.move(timedelta(microseconds=1))
        return self.at


def numbered_ids() -> Callable[[], UUID]:
    """Make a source of ids that are the same in every run."""
    numbers = count(1)
    return lambda: UUID(int=next(numbers) * 0x1234_5678_9ABC_DEF0_1234_5678)


class Stage:
    """A Marketplace at noon, whose messages land in a list."""

    def __init__(
        self,
        *,
        raw_delivery: bool = False,
        queue_takes: bool = True,
        products: Sequence[Product] = (SOFTPHONE,),
        clock: Clock | None = None,
    ) -> None:
        """Open with or without the SNS envelope, and with a queue that works or not."""
        self.clock = clock or Clock()
        self.sent: list[Message] = []
        self.queue_takes = queue_takes
        self.marketplace = Marketplace(
            products=products,
            clock=self.clock,
            ids=numbered_ids(),
            deliver=self._deliver,
            raw_delivery=raw_delivery,
        )

    def bodies(self) -> list[dict[str, Any]]:
        """Read what was sent."""
        return [json.loads(message.body) for message in self.sent]

    def _deliver(self, message: Message) -> bool:
        self.sent.append(message)
        return self.queue_takes
