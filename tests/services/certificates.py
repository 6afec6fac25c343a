"""A certificate for servers on 127.0.0.1."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """A certificate that vouches for itself, and its key; both PEM."""

    certificate: Path
    """What a client trusts; it may show it too."""
    key: Path


def certify(folder: Path) -> Certificate:
    """Make a certificate of 127.0.0.1 and localhost."""
    made = Certificate(certificate=folder / "certificate.pem", key=folder / "key.pem")
    subprocess.run(
        [
            "/usr/bin/openssl",
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-batch"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", made.key, "-out", made.certificate),
        ],
        check=True,
        capture_output=True,
    )
    return made
