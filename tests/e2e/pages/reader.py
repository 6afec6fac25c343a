"""A browser without scripts, in a few lines: it keeps cookies, follows nothing by itself and fills in forms."""

import html
import re
from typing import Final

from werkzeug.test import TestResponse

from ledger.license.events import SeatId
from tests.e2e.pages.story import Story

_TOKEN: Final = re.compile(r'name="csrf_token" value="([^"]+)"')


class Reader:
    """Somebody who reads the pages."""

    def __init__(self, story: Story) -> None:
        """Begin with no cookies."""
        self.story = story
        self.client = story.app.test_client()
        self.client.environ_base["HTTP_ACCEPT"] = "text/html"

    def get(self, path: str) -> TestResponse:
        """Load a page."""
        return self.client.get(path)

    def text(self, path: str) -> str:
        """The text of a page that is there, without its tags."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.status
        return text_of(answer)

    def send(self, path: str, form_on: str = "/sign-out", **fields: str | list[SeatId]) -> TestResponse:
        """Send a form as the page `form_on` makes it."""
        found = _TOKEN.search(self.get(form_on).text)
        assert found is not None, f"{form_on} has no form"
        return self.client.post(path, data={"csrf_token": found[1], **fields})

    def sign_in(self, key: str) -> TestResponse:
        """Sign in with the key of this name."""
        return self.send("/sign-in", "/sign-in", key=self.story.keys[key])

    def change(self, what: str, user: str, **fields: str) -> TestResponse:
        """Send the confirmation of a change."""
        seat_id = self.story.seat_of(user)
        path = f"/licenses/{self.story.noon}/users/changes"
        return self.send(path, "/sign-out", change=what, seat_id=seat_id, **fields)

    def register(self, token: str) -> TestResponse:
        """Come from AWS Marketplace with a token, from its site."""
        return self.client.post("/marketplace/register", data={"x-amzn-marketplace-token": token})


def text_of(answer: TestResponse) -> str:
    """What one reads of an answer."""
    without_tags = re.sub(r"<[^>]+>", "", re.sub(r"<head>.*?</head>", "", answer.text, flags=re.DOTALL))
    return " ".join(html.unescape(without_tags).split())
