"""A queue that is as fast as AWS's: SQS of ministack, which is no dependency of the ledger's."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3

from bench.section import ServerIsMissingError
from tests.services.processes import Home, await_ready, free_port, listens

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CREDENTIALS: Final[Mapping[str, str]] = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "anybody",
    "AWS_SECRET_ACCESS_KEY": "anything",
}
_BATCH_MAX: Final = 10
"""SQS's limit."""


class Queue:
    """A queue on a running server."""

    def __init__(self, client: "SQSClient") -> None:
        """Make one that nobody has used."""
        self._client = client
        self.endpoint: Final = client.meta.endpoint_url
        self.url: Final = client.create_queue(QueueName="aws-marketplace")["QueueUrl"]

    def send(self, bodies: Sequence[str]) -> None:
        """Put messages into it, in this order.

        Raises:
            RuntimeError: it did not take all.
        """
        for begin in range(0, len(bodies), _BATCH_MAX):
            batch = enumerate(bodies[begin : begin + _BATCH_MAX])
            sent = self._client.send_message_batch(
                QueueUrl=self.url, Entries=[{"Id": str(number), "MessageBody": body} for number, body in batch]
            )
            if sent.get("Failed"):
                raise RuntimeError(f"the queue did not take {sent['Failed']}")

    def left(self) -> int:
        """How many messages lie in it or are being worked on, about."""
        asked = self._client.get_queue_attributes(
            QueueUrl=self.url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        return sum(int(number) for number in asked["Attributes"].values())


@contextmanager
def queue(command: str) -> Iterator[Queue]:
    """Start the server, with one queue.

    Args:
        command: `ministack`, or the path of it.

    Raises:
        ServerIsMissingError: it is not installed.
    """
    program = shutil.which(command)
    if program is None:
        raise ServerIsMissingError(
            f"{command} is missing: `python -m venv ministack && ministack/bin/pip install ministack==1.5.33`,"
            " and name ministack/bin/ministack by --ministack"
        )
    home = Home("ministack")
    try:
        yield Queue(_started(home, Path(program).absolute()))
    finally:
        home.remove()


def _started(home: Home, program: Path) -> "SQSClient":
    port = free_port()
    process = home.start("ministack", [program], env={"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"})
    await_ready("ministack", process, home.log("ministack"), lambda: listens(port))
    return boto3.client(
        "sqs",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=CREDENTIALS["AWS_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
