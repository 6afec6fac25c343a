"""The seller's SQS queue: the one that the seller has, or one on moto's server inside this process."""

from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from consumers.sandbox.notifications import REGION, Message

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer
    from mypy_boto3_sqs import SQSClient

LOCAL_CREDENTIAL = "sandbox"
"""Access key and secret: moto's server and the sandbox take anything."""

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})

log = structlog.get_logger(__name__)


class SellersQueue:
    """An SQS queue that takes the messages of the sandbox."""

    def __init__(self, *, client: "SQSClient", url: str, endpoint: str, server: "ThreadedMotoServer | None") -> None:
        """Send through this client; stop the server, if there is one, at the end."""
        self.url = url
        self.endpoint = endpoint
        self.is_local = server is not None
        self._client = client
        self._server = server

    @classmethod
    def at(cls, queue_url: str) -> Self:
        """Send to a queue that is there already, with the credentials that boto3 finds for itself."""
        parts = urlsplit(queue_url)
        endpoint = f"{parts.scheme}://{parts.netloc}"
        session = boto3.Session()
        client = session.client("sqs", endpoint_url=endpoint, region_name=session.region_name or REGION, config=_CONFIG)
        return cls(client=client, url=queue_url, endpoint=endpoint, server=None)

    @classmethod
    def on_local_server(cls, host: str) -> Self:
        """Start moto's server on a free port of this host and create a queue there.

        The name is a new one each time, since all servers of moto in one process share what they hold.
        """
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 -- loading it takes a second, which others need not wait

        server = ThreadedMotoServer(ip_address=host, port=0, verbose=False)
        server.start()
        bound_host, port = server.get_host_and_port()
        endpoint = f"http://{bound_host}:{port}"
        client = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=LOCAL_CREDENTIAL,
            aws_secret_access_key=LOCAL_CREDENTIAL,
            config=_CONFIG,
        )
        created = client.create_queue(QueueName=f"aws-marketplace-{uuid4().hex[:12]}")
        return cls(client=client, url=created["QueueUrl"], endpoint=endpoint, server=server)

    def deliver(self, message: Message) -> bool:
        """Put a message into the queue, and say whether the queue took it."""
        try:
            self._client.send_message(QueueUrl=self.url, MessageBody=message.body)
        except (BotoCoreError, ClientError) as error:
            log.warning("The queue did not take a message", title=message.title, queue=self.url, error=str(error))
            return False
        return True

    def close(self) -> None:
        """Let the queue go; one on moto's server is gone with all its messages."""
        self._client.close()
        if self._server is not None:
            self._server.stop()
