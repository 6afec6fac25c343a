"""The drift report: what an operator reads at night, over HTTP without scripts, and nobody else."""

import re

import msgspec
import pytest
from werkzeug.test import TestResponse

from api.pages.drift import ROWS_AT_FIRST, ROWS_ON_PAGE
from api.v1 import schemas
from ledger.drift import DriftProgress
from tests.e2e.pages.drift_story import agreeing, bad_night, blind_night, dry_night
from tests.e2e.pages.reader import Reader, text_of
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
    assert "Yes, they agreed on " in text
    assert "1 minute ago. 1,204 licenses were compared with 1,204 rows of AWS, on 49 pages" in text
    assert "Needs a person" not in text


def test_what_needs_a_person_stands_before_what_was_mended(story: Story, reader: Reader) -> None:
    """Alarms first; companies by their names, with the way to their pages; the command for what AWS does not link."""
    story.reports.made[12] = bad_night(story)
    reader.sign_in("operator")
    text = reader.text("/drift")
    in_order = (
        "No, 5 licenses need a person",
        "1 alarm 5 need a person 1 on its way 2 mended 2 renewals perhaps",
        "63 licenses of 1,204 would lose 1,904 of 20,117 seats within 24 hours",
        "62 of them lost it before",
        "licensing-ledger reconcile --apply-losses ends 1 license, whose 3 users can't use the client then",
        "News of agreements could not be read",
        "Needs a person",
        "Held back It ends, and its 3 users can't use the client.",
        "Unexplained",
        "Perhaps the same license renewed",
        "Customer 123456789012, ",
        "with 10 seats and 4 users.",
        "with 25 seats and no users.",
        f"licensing-ledger succeed {story.night} --by agmt-9x2k4m7q Copy the command",
        "with 120 seats and 80 users.",
        "The newer license has users or blocks of its own",
        "On its way",
        "Was mended",
        "The number went down from 10 to 2, which deleted its 4 users.",
        "It was issued.",
    )
    places = [text.index(part) for part in in_order]
    assert places == sorted(places)
    assert "--reason" not in text
    assert "agmt-3v8n1p5r" not in text
    page = reader.get("/drift").text
    assert re.search(rf'<a href="/licenses/{story.noon}">Noon Telephony</a>', page)


def test_of_what_could_not_be_seen_it_is_not_said_that_it_differs(story: Story, reader: Reader) -> None:
    """Nor that nothing was done; and it is said what goes on, and how to find out more."""
    story.reports.made[13] = blind_night(story)
    reader.sign_in("operator")
    text = reader.text("/drift")
    assert "It can't be told: AWS shows nothing to these credentials" in text
    assert "1 alarm 0 on their way 1 mended" in text
    assert "need a person" not in text
    assert "Nothing was taken because of it: users work on, but what is bought goes unnoticed." in text
    assert "Run licensing-ledger doctor" in text
    assert "It ended, and its 2 users can't use the client." in text


def test_a_dry_run_tells_what_would_be_mended_and_how_to_have_it_mended(story: Story, reader: Reader) -> None:
    """Nobody has to look at what the next reconciliation mends."""
    story.reports.made[14] = dry_night(story)
    reader.sign_in("operator")
    text = reader.text("/drift")
    assert "No, 3 licenses differ" in text
    assert "nothing was changed. Run licensing-ledger reconcile to have mended what can be." in text
    assert "0 need a person 3 to be mended 0 on their way" in text
    assert "Would be mended" in text
    assert "The number goes up from 25 to 30." in text


def test_an_earlier_report_can_be_read_again(story: Story, reader: Reader) -> None:
    """As long as it is kept."""
    story.reports.made = {11: agreeing(story), 12: bad_night(story)}
    reader.sign_in("operator")
    assert "No, 5 licenses need a person" in reader.text("/drift")
    assert "Yes, they agreed" in reader.text("/drift?number=11")
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
    assert "under way: reading what AWS sells, 300 of 1,204. AWS does not answer now" in text
    assert "ThrottlingException. If that lasts, licensing-ledger doctor says what is wrong." in text


def test_every_page_of_an_operator_says_how_much_needs_a_look(story: Story, reader: Reader) -> None:
    """Beside the way to the report; of what the next reconciliation mends nobody is alarmed."""
    reader.sign_in("operator")
    assert "Drift Operator" in reader.text("/")
    for report, told in (
        (agreeing(story), "Drift Operator"),
        (bad_night(story), "Drift 5 need a look Operator"),
        (blind_night(story), "Drift 1 needs a look Operator"),
        (dry_night(story), "Drift Operator"),
    ):
        story.reports.made[report.number] = report
        assert told in reader.text("/")


def test_the_inbox_does_not_say_that_nothing_needs_a_look_while_the_report_does(story: Story, reader: Reader) -> None:
    """Without an alarm, too; and from when the report is."""
    left = msgspec.structs.replace(bad_night(story), alarms=())
    story.reports.made[12] = left
    reader.sign_in("operator")
    text = reader.text("/inbox")
    at = left.finished_at
    assert "5 licenses need a person, since the ledger and AWS do not agree." in text
    assert f"See the drift report of {at.day} {at:%b %Y, %H:%M} UTC" in text
    assert "Nothing needs a look" not in text


@pytest.mark.parametrize("key", ["admin", "auditor"])
def test_nobody_but_operators_reads_it(story: Story, reader: Reader, key: str) -> None:
    """It names the licenses of all customers."""
    story.reports.made[12] = bad_night(story)
    reader.sign_in(key)
    assert reader.get("/drift").status_code == 403
    assert "Drift" not in reader.get("/").text


def test_what_is_long_stands_on_pages_of_its_own(story: Story, reader: Reader) -> None:
    """The summary leads to each part, and each part to the whole of it."""
    story.reports.made[14] = dry_night(story, differing=131)
    reader.sign_in("operator")
    page = reader.get("/drift").text
    assert page.count("The number goes up") == ROWS_AT_FIRST
    assert '<a href="#mendable">131 to be mended</a>' in page
    assert ">All 131</a>" in page
    first = reader.get("/drift?number=14&part=mendable")
    assert first.text.count("The number goes up") == ROWS_ON_PAGE
    assert "1 to 100 of 131." in text_of(first)
    second = reader.get("/drift?number=14&part=mendable&from=100")
    assert second.text.count("The number goes up") == 31
    assert "101 to 131 of 131. The whole report" in text_of(second)
    for nonsense in ("part=nothing", "part=mended&from=7", "part=mendable&from=9999"):
        assert reader.get(f"/drift?number=14&{nonsense}").status_code == 200


def test_each_report_is_named_by_its_time_and_what_it_says(story: Story, reader: Reader) -> None:
    """Nobody knows them by number."""
    story.reports.made = {11: agreeing(story), 12: bad_night(story), 14: dry_night(story)}
    reader.sign_in("operator")
    text = reader.text("/drift")
    at = f"{agreeing(story).finished_at:%b %Y, %H:%M} UTC"
    for told in ("differ, dry run", "5 need a look", "agree"):
        assert f"{at} {told}" in text


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
