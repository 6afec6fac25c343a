"""Registration tokens: what AWS sends to the seller when a buyer chooses "Set up your account"."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from consumers.sandbox.contracts import Contract, ContractHasEndedError
from ledger.times import microseconds, moment

TOKEN_LIFETIME = timedelta(hours=4)
"""AWS: a registration token has an expiration window of 4 hours, and answers the same as long as it lives."""

_SIGNATURE_BYTES = 16


class TokenIsInvalidError(Exception):
    """This Marketplace never issued the registration token."""


class TokenHasExpiredError(Exception):
    """The registration token was issued longer ago than it lives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationToken:
    """A token, and what its form says beside."""

    token: str
    expires_at: datetime
    is_of_trial: bool
    """Whether the form says `x-amzn-marketplace-offer-type=free-trial` beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """The tokens of one Marketplace. Each carries what it says and is signed, so none needs to be remembered."""

    secret: bytes

    def issue(self, contract: Contract, *, at: datetime) -> RegistrationToken:
        """Make a token for a contract.

        Raises:
            ContractHasEndedError: AWS shows the button on active contracts only.
        """
        if not contract.is_active:
            raise ContractHasEndedError(contract)
        # The signature comes last: a token that begins with "-" would be an option to the AWS command line.
        said = f"{contract.agreement_id} {microseconds(at)}".encode()
        return RegistrationToken(
            token=base64.urlsafe_b64encode(said + self._sign(said)).decode(),
            expires_at=at + TOKEN_LIFETIME,
            is_of_trial=contract.trial_ends_at is not None,
        )

    def read(self, token: str, *, at: datetime) -> str:
        """Give the id of the agreement that a token stands for.

        Raises:
            TokenIsInvalidError: it was not issued here.
            TokenHasExpiredError: it is older than four hours.
        """
        try:
            signed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise TokenIsInvalidError from None
        said, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(said)):
            raise TokenIsInvalidError
        agreement_id, issued = said.decode().split(" ")
        if at >= moment(int(issued)) + TOKEN_LIFETIME:
            raise TokenHasExpiredError
        return agreement_id

    def _sign(self, said: bytes) -> bytes:
        return hmac.digest(self.secret, said, hashlib.sha256)[:_SIGNATURE_BYTES]
