"""The sample customer of `serve --sandbox`, made through the ordinary doors."""

import http.cookiejar
import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from time import monotonic, sleep
from typing import Any, Final

from consumers.sandbox import Sandbox

ACCOUNT_ID: Final = "123456789012"
COMPANY: Final = {
    "company_name": "Analytical Engines Ltd",
    "contact_name": "Charles Babbage",
    "contact_email": "charles@engines.example",
    "contact_phone": "+44 20 7946 0000",
}
SEATS: Final = 5
USERS: Final = ("Ada Lovelace", "Grace Hopper", "Katherine Johnson", "Mary Jackson")
BLOCKED_USER: Final = "Alan Turing"
_WAIT_SECONDS: Final = 60
