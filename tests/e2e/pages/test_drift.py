"""The drift report: what an operator reads at night, over HTTP without scripts, and nobody else."""

import re

import pytest
from werkzeug.test import TestResponse

from api.v1 import schemas
from ledger.drift import DriftProgress
from tests.e2e.pages.drift_story import agreeing, bad_night
from tests.e2e.pages.reader import Reader
from tests.e2e.pages.story import Story


def test_before_the_first_report_the_page_says_how_to_get_one(story: Story, reader: Reader) -> None:
    """By the command or the setting."""
    reader.sign_in("operator")
    text = reader.text("/drift")
    assert "Nobody has asked yet" in text
    assert "LEDGER_RECONCILE_EVERY" in text
    assert story.reports.numbers() == []


def test_a_quiet_night_is_one_word(story: Story, reader: Reader) -> None:
    """And says how much was compared."""
    story.reports.made[11] = agreeing(story)
    reader.sign_in("operator")
    text = reader.text("/drift")
    assert "Yes, they agree" in text
    assert "1,204 licenses were compared with 1,204 rows of AWS, on 49 pages" in text
    assert "Needs a person" not in text


def test_what_needs_a_person_stands_before_what_was_mended(story: Story, reader: Reader) -> None:
    """Alarms first; companies by their names, with the way to their pages; the command for what AWS does not link."""
    story.reports.made[12] = bad_night(story)
    reader.sign_in("operator")
    text = reader.text("/drift")
    in_order = (
        "No, look at this",
        "5 need a person 1 on its way 2 mended",
        "63 licenses of 1,204 would lose 1,904 of 20,117 seats within 24 hours",
        "62 of them lost it before",
        "licensing-ledger reconcile --apply-losses ends 1 license, whose 3 users can't use the client then",
        "News of agreements could not be read",
        "Needs a person",
        "Held back It ends, and its 3 users can't use the client.",
        "Unexplained",
        "Perhaps the same license renewed",
        f"licensing-ledger succeed {story.night} --by agmt-9x2k4m7q --reason private-renewal",
        "On its way",
        "Was mended",
        "The number went down from 10 to 2, which deleted its 4 users.",
        "It was issued.",
    )
    places = [text.index(part) for part in in_order]
    assert places == sorted(places)
    page = reader.get("/drift").text
    assert re.search(rf'<a href="/licenses/{story.noon}">Noon Telephony</a>', page)


def test_an_earlier_report_can_be_read_again(story: Story, reader: Reader) -> None:
    """As long as it is kept."""
    story.reports.made = {11: agreeing(story), 12: bad_night(story)}
    reader.sign_in("operator")
    assert "No, look at this" in reader.text("/drift")
    assert "Yes, they agree" in reader.text("/drift?number=11")
    for number in ("10", "eleven", "9" * 40):
        assert reader.get(f"/drift?number={number}").status_code == 404


def test_a_reconciliation_that_is_under_way_says_how_far_it_is(story: Story, reader: Reader) -> None:
    """And what is in its way."""
    story.reports.running = DriftProgress(
        number=13,
        begun_at=story.clock(),
        doing="Reading what AWS sells",
        done=300,
        total=1_204,
        trouble="AWS Marketplace answered GetEntitlements with ThrottlingException.",
    )
    reader.sign_in("operator")
    text = reader.text("/drift")
    assert "under way: reading what AWS sells, 300 of 1,204." in text
    assert "ThrottlingException" in text


@pytest.mark.parametrize("key", ["admin", "auditor"])
def test_nobody_but_operators_reads_it(story: Story, reader: Reader, key: str) -> None:
    """It names the licenses of all customers."""
    story.reports.made[12] = bad_night(story)
    reader.sign_in(key)
    assert reader.get("/drift").status_code == 403
    assert "Drift" not in reader.get("/").text


# -- for programs ------------------------------------------------------------------------------------------------------


def call(story: Story, path: str, *, key: str = "operator") -> TestResponse:
    """Ask the interface."""
    return story.app.test_client().get(path, headers={"Authorization": f"Bearer {story.keys[key]}"})


def test_programs_read_the_same_report(story: Story) -> None:
    """As it is described."""
    assert call(story, "/v1/drift").json == {"running": None, "kept": [], "report": None}
    story.reports.made = {11: agreeing(story), 12: bad_night(story)}
    story.reports.running = DriftProgress(number=13, begun_at=None, doing="Waiting", done=0, total=None, trouble=None)
    answer = call(story, "/v1/drift")
    assert answer.json is not None
    assert schemas.Drift().validate(answer.json) == {}
    assert answer.json["kept"] == [12, 11]
    assert answer.json["running"]["number"] == 13
    assert answer.json["report"]["counts"] == {"left": 4, "withheld": 1, "on-its-way": 1, "mended": 2}
    assert [one["kinds"] for one in answer.json["report"]["differences"]][:2] == [["missing-there"], ["number"]]
    earlier = call(story, "/v1/drift?number=11").json
    assert earlier is not None
    assert earlier["report"]["agrees"]


def test_a_report_that_is_not_kept_is_not_found(story: Story) -> None:
    """And what is no number is refused."""
    assert call(story, "/v1/drift?number=7").status_code == 404
    assert call(story, "/v1/drift?number=seven").status_code == 422


def test_the_numbers_for_machines_tell_of_it(story: Story) -> None:
    """Whether they agree, what stands how, and each alarm by its name."""
    story.reports.made[12] = bad_night(story)
    told = story.app.test_client().get("/metrics").text.splitlines()
    assert "ledger_drift_agrees 0.0" in told
    assert 'ledger_drift_differences{standing="withheld"} 1.0' in told
    assert 'ledger_drift_alarm{alarm="losses-withheld"} 1.0' in told
    assert 'ledger_drift_alarm{alarm="sees-nothing"} 0.0' in told
