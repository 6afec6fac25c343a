"""Who asks, where, and by which clock."""

import re
from collections.abc import Collection
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from consumers.marketplace.clients import REGION
from consumers.marketplace.doctor.asking import (
    AskingFailedError,
    Instruments,
    Trouble,
    is_aws,
    looked_for,
    needed,
    shown_url,
)
from consumers.marketplace.doctor.findings import Findings, could_not_look, ok, warning, wrong

SKEW_MAX: Final = timedelta(minutes=5)
"""AWS refuses a signature whose clock is 15 minutes off."""

_QUEUE_HOST: Final = re.compile(r"(?:sqs\.)?([a-z0-9-]+)(?:\.queue)?\.(?:amazonaws\.com|api\.aws)")


def look_at_endpoints(instruments: Instruments) -> Findings:
    """Whether it is AWS at all that is asked."""
    clients = (instruments.metering, instruments.entitlements, instruments.agreements)
    told = sorted({shown_url(client.meta.endpoint_url) for client in clients if not is_aws(client.meta.endpoint_url)})
    if not told:
        yield ok("endpoints", "AWS Marketplace itself is asked.")
        return
    yield warning(
        "endpoints",
        f"AWS Marketplace is played by {', '.join(told)}; no real contract is there.",
        "For a real account take AWS_ENDPOINT_URL… out of the environment and of AWS's configuration.",
    )


def look_at_credentials(instruments: Instruments, *, accounts: Collection[str]) -> Findings:
    """Whose credentials they are.

    Args:
        instruments: ask AWS.
        accounts: those of which messages are taken; none is any.
    """
    check = "credentials"
    if instruments.would_show_aws(instruments.sts):
        told = "They are for whoever plays AWS Marketplace, and are not shown to AWS."
        yield could_not_look(check, told)
        return
    try:
        caller = instruments.ask("GetCallerIdentity", instruments.sts.get_caller_identity)
    except AskingFailedError as error:
        # The ledger itself never asks that, so it is no matter if STS can't be reached.
        yield needed(check, error) if error.trouble is Trouble.CREDENTIALS else looked_for(check, error)
        return
    account, arn = caller["Account"], caller["Arn"]
    if arn.endswith(":root"):
        told = f"They are those of the whole account {account}, which may do everything."
        yield warning(check, told, "Run the ledger as a role of its own.")
    else:
        yield ok(check, f"They are {arn}.")
    yield from _look_at_accounts(account, accounts)


def look_at_region(instruments: Instruments, *, queue_url: str | None) -> Findings:
    """Whether the queue is looked for where it is, and where AWS Marketplace speaks."""
    check, region = "region", instruments.region
    queues = _region_of(queue_url or "") or region
    if queues != region:
        told = f"The queue of LEDGER_SQS_QUEUE_URL is in {queues}, but is looked for in {region}."
        yield wrong(check, told, f"Set AWS_REGION to {queues}.")
    elif region != REGION:
        told = f"It is {region}. AWS Marketplace speaks in {REGION} alone, and a rule reaches only queues beside it."
        yield warning(check, told, f"Make the stack in {REGION} and set AWS_REGION to it.")
    else:
        yield ok(check, f"It is {region}.")


def look_at_clock(instruments: Instruments) -> Findings:
    """Whether our clock goes with AWS's, by the answers so far."""
    check = "clock"
    if not instruments.skews:
        yield could_not_look(check, "AWS gave no answer that tells its time.")
        return
    # An answer that took its time makes us look late, never early by as much.
    skew = min(instruments.skews, key=abs)
    if abs(skew) <= SKEW_MAX:
        yield ok(check, f"It goes with AWS's, within {max(1, round(abs(skew).total_seconds()))} s.")
        return
    told = (
        f"It is {round(abs(skew).total_seconds() / 60)} minutes {'ahead of' if skew > timedelta() else 'behind'} AWS's."
    )
    remedy = (
        "Set this machine's clock by NTP: AWS refuses requests that are 15 minutes off, and dates are judged by it."
    )
    yield warning(check, told, remedy)


def _region_of(queue_url: str) -> str | None:
    """The region that the URL of a queue of AWS's names; null for others."""
    try:
        found = _QUEUE_HOST.fullmatch(urlsplit(queue_url).hostname or "")
    except ValueError:
        return None
    if found is None:
        return None
    return REGION if found[1] == "queue" else found[1]


def _look_at_accounts(account: str, accounts: Collection[str]) -> Findings:
    check = "account"
    if not accounts:
        told = "LEDGER_AWS_ACCOUNTS is not set: a message about any account's sales is taken."
        yield warning(check, told, f"Set LEDGER_AWS_ACCOUNTS to {account}, if that is the account that sells.")
    elif account not in accounts:
        told = (
            f"The credentials are of account {account}, which is none of LEDGER_AWS_ACCOUNTS ({', '.join(accounts)})."
        )
        remedy = "Take credentials of the account that sells: any other account sees nothing of what was bought."
        yield wrong(check, told, remedy)
    else:
        yield ok(check, f"{account} is one of LEDGER_AWS_ACCOUNTS.")
