"""What the tests of the pages share."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.pages.reader import Reader
from tests.e2e.pages.story import Story, open_story, served
from tests.e2e.pages.window import Window, open_window


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, told once and closed; telling it waits for the disk at each step."""
    with open_story(tmp_path_factory.mktemp("told")) as story:
        pass
    return story


@pytest.fixture
def story(told: Story, tmp_path: Path) -> Iterator[Story]:
    """The ledger of the story, just told."""
    with open_story(tmp_path, told=told) as story:
        yield story


@pytest.fixture
def reader(story: Story) -> Reader:
    """Somebody with a browser without scripts, not signed in."""
    return Reader(story)


@pytest.fixture
def window(chromium: Browser, story: Story) -> Iterator[Window]:
    """A window of a real browser before the pages of the story."""
    with ExitStack() as stack:
        address = stack.enter_context(served(story.app))
        yield stack.enter_context(open_window(chromium, story, address))
