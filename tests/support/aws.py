"""Amazon's services on this machine: moto's server in a thread, with a clock that tests can move."""

import logging
import uuid
from collections.abc import Iterator

import moto.sqs.models
import pytest
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-aws",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Aws:
    """A running server. ``shift``: seconds by which the time of its SQS is ahead."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.shift = 0.0

    def prefix(self) -> str:
        """Return a prefix for names that nobody else uses."""
        return f"test-{uuid.uuid4().hex[:12]}-"


@pytest.fixture(scope="session")
def aws_server() -> Iterator[Aws]:
    """One server for this worker process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    aws = Aws(f"http://{host}:{port}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(default_user_config, "lambda", {"use_docker": False})
        for name in ("unix_time", "unix_time_millis"):
            real, unit = getattr(moto.sqs.models, name), 1000 if name.endswith("millis") else 1
            patch.setattr(moto.sqs.models, name, lambda real=real, unit=unit: real() + aws.shift * unit)
        yield aws
        server.stop()


@pytest.fixture
def aws(aws_server: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """The server, with its time set right and credentials in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    aws_server.shift = 0.0
    yield aws_server
    aws_server.shift = 0.0
