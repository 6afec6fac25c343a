"""The seller's SQS queue: the one that the seller has, or one on moto's server inside this process."""

import socket
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from consumers.sandbox.http_server import HttpServer, listen
from consumers.sandbox.notifications import REGION, Message
from consumers.sandbox.starting import SandboxCannotStartError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LOCAL_CREDENTIAL = "sandbox"
"""Access key and secret: moto's server and the sandbox take anything."""

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})

log = structlog.get_logger(__name__)


class QueueCannotBeUsedError(SandboxCannotStartError):
    """The seller's queue is not there, or can't be reached: every message would be lost."""

    def __init__(self, queue_url: str, reason: Exception) -> None:
        super().__init__(
            f"The queue {queue_url} can't be used: {str(reason).rstrip('.')}. "
            "Unset LEDGER_SQS_QUEUE_URL to let the sandbox start a queue of its own."
        )


class SellersQueue:
    """An SQS queue that takes the messages of the sandbox."""

    def __init__(
        self,
        *,
        client: "SQSClient",
        sent_to: str,
        url: str,
        endpoint: str,
        server: HttpServer | None,
    ) -> None:
        """Send through this client; stop the server, if there is one, at the end.

        Args:
            client: of SQS.
            sent_to: the queue's URL for this client.
            url: the queue's URL for others.
            endpoint: where others find SQS.
            server: that runs for this queue alone.
        """
        self.url = url
        self._sent_to = sent_to
        self.endpoint = endpoint
        self.is_local = server is not None
        self._client = client
        self._server = server

    @classmethod
    def at(cls, queue_url: str) -> Self:
        """Send to a queue that is there already, with the credentials that boto3 finds for itself.

        Raises:
            QueueCannotBeUsedError: it is not there, or can't be reached.
        """
        parts = urlsplit(queue_url)
        endpoint = f"{parts.scheme}://{parts.netloc}"
        session = boto3.Session()
        client = session.client("sqs", endpoint_url=endpoint, region_name=session.region_name or REGION, config=_CONFIG)
        try:
            client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        except (BotoCoreError, ClientError) as error:
            if not _may_only_send(error):
                client.close()
                raise QueueCannotBeUsedError(queue_url, error) from error
        return cls(client=client, sent_to=queue_url, url=queue_url, endpoint=endpoint, server=None)

    @classmethod
    def on_local_server(cls, host: str, *, port: int, public_host: str | None, name: str | None) -> Self:
        """Start moto's server on this host and create a queue there.

        Args:
            host: to listen at.
            port: to listen at; 0 is any free one.
            public_host: by which others find it; null is the host.
            name: of the queue; null is a new one each time, since all servers of moto in one process share what they
                hold.

        Raises:
            PortCannotBeUsedError: the port is taken, or the host is not of this machine.
        """
        with listen(host, port, who="The sandbox's queue") as listening:
            bound_host, bound_port = listening.getsockname()[:2]
            server = _serve_moto(listening)
        endpoint = f"http://{bound_host}:{bound_port}"
        public = f"{public_host or bound_host}:{bound_port}"
        client = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=LOCAL_CREDENTIAL,
            aws_secret_access_key=LOCAL_CREDENTIAL,
            config=_CONFIG,
        )
        created = client.create_queue(QueueName=name or f"aws-marketplace-{uuid4().hex[:12]}")["QueueUrl"]
        url = urlunsplit(urlsplit(created)._replace(netloc=public))
        return cls(client=client, sent_to=created, url=url, endpoint=f"http://{public}", server=server)

    def deliver(self, message: Message) -> bool:
        """Put a message into the queue, and say whether the queue took it."""
        try:
            self._client.send_message(QueueUrl=self._sent_to, MessageBody=message.body)
        except (BotoCoreError, ClientError) as error:
            log.warning("The queue did not take a message", title=message.title, queue=self.url, error=str(error))
            return False
        return True

    def close(self) -> None:
        """Let the queue go; one on moto's server is gone with all its messages."""
        self._client.close()
        if self._server is not None:
            self._server.stop()


def _may_only_send(error: BotoCoreError | ClientError) -> bool:
    """Whether the queue answered, to credentials that need not ask it anything."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"].startswith("AccessDenied")


def _serve_moto(listening: socket.socket) -> HttpServer:
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 -- loading it takes a second, which others need not wait
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )

    app = DomainDispatcherApplication(create_backend_app)
    return HttpServer(app, listening, name="sandbox-queue", request_handler=MotoRequestHandler)
