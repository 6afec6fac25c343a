"""The night of `tests.integration.inbox_story`, as those who read pages hold it in their hands."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ledger.inbox import InboxMessage
from ledger.store.url import DatabaseUrl
from tests.e2e.pages.reports import Reports
from tests.e2e.pages.story import Clock, Marketplace, Story
from tests.integration.inbox_story import Night, open_night


class InboxStory(Story):
    """The story of a night; NOON is the license of Ada's company."""

    told: Night

    def found(self, **query: Any) -> InboxMessage:  # noqa: ANN401 -- the fields of a query
        """The newest message that fits."""
        return self.told.found(**query)


@contextmanager
def open_inbox_story(folder: Path) -> Iterator[InboxStory]:
    """A night of AWS Marketplace, in an empty folder."""
    path = folder / "ledger.db"
    views_url = DatabaseUrl.of_file(folder / "ledger.views.db")
    with open_night(DatabaseUrl.of_file(path), views_url=views_url) as night:
        story = InboxStory(
            clock=Clock(),
            ledger=night.stage.ledger,
            views=night.views,
            marketplace=Marketplace(ledger=night.stage.ledger),
            reports=Reports(),
            app=night.app,
            path=path,
            noon=night.license_id,
            keys=night.keys,
        )
        story.told = night
        yield story
