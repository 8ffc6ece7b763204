"""Two servers, one SQS, one Lambda: the profile ``config/sqs-lambda.json`` as a whole, and a server that is killed."""

import asyncio
import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.aws import CREDENTIALS, Aws
from tests.support.aws import aws as aws
from tests.support.aws import aws_server as aws_server
from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.server import TestApp, app_config, running, server_config, start

APP = TestApp()
HIDDEN = 2  # seconds for which SQS hides a message


@pytest.fixture
def hooks() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


def config(aws: Aws, *endpoints: dict[str, Any]) -> dict[str, Any]:
    queue = {
        "driver": "sqs",
        "sqs": {"endpoint_url": aws.url, "visibility_timeout": HIDDEN, "wait_time_seconds": 1},
        "reliability": {"shutdown_timeout_ms": 2000, "lease_duration_ms": 2000, "lease_renew_interval_ms": 500},
    }
    return server_config(app_config(APP, webhooks=list(endpoints)), queue=queue)


def prefixed(aws: Aws, document: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with queues of its own, made beforehand and named by their URL."""
    sqs = boto3.client("sqs", region_name="us-east-1", endpoint_url=aws.url)
    prefix = aws.prefix()
    urls = [sqs.create_queue(QueueName=prefix + name)["QueueUrl"] for name in ("default", "failed")]
    document["queue"]["sqs"]["queue_url_prefix"] = urls[0].removesuffix("default")
    return document


def messages(aws: Aws, document: dict[str, Any]) -> int:
    """Return how many messages SQS has, hidden ones included."""
    sqs = boto3.client("sqs", region_name="us-east-1", endpoint_url=aws.url)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = document["queue"]["sqs"]["queue_url_prefix"] + "default"
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


async def test_events_go_through_sqs_to_the_endpoint(tmp_path: Path, aws: Aws, hooks: HookReceiver) -> None:
    document = prefixed(aws, config(aws, {"url": hooks.url + "/all", "event_types": ["channel_occupied"]}))
    with running(document, tmp_path, CREDENTIALS) as server:
        async with connected(server, APP) as client:
            for number in range(20):
                await client.subscribe(f"chat-{number}")
            await asyncio.to_thread(hooks.wait_for, "/all", 20)
        names = {event["channel"] for event in hooks.events("/all")}
        assert names == {f"chat-{number}" for number in range(20)}
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in server.log()


async def test_what_a_killed_server_had_not_delivered_another_delivers(
    tmp_path: Path, aws: Aws, hooks: HookReceiver
) -> None:
    hooks.answer("/all", *[30.0] * 3)  # the first requests hang, with their server
    document = prefixed(aws, config(aws, {"url": hooks.url + "/all", "event_types": ["channel_occupied"]}))
    server = start(document, tmp_path / "one", CREDENTIALS)
    async with connected(server, APP) as client:
        for number in range(10):
            await client.subscribe(f"chat-{number}")
        await asyncio.to_thread(hooks.wait_for, "/all", 1)
        await eventually(lambda: messages(aws, document) == 10, "all ten events in SQS")
        server.kill()
    hung = len(hooks.hooks("/all"))
    hooks.answer("/all")
    with running(document, tmp_path / "two", CREDENTIALS):

        def all_delivered() -> bool:
            came = [event["channel"] for hook in hooks.hooks("/all")[hung:] for event in hook.events]
            return set(came) == {f"chat-{number}" for number in range(10)}

        await eventually(all_delivered, "all ten channels")
        await eventually(lambda: messages(aws, document) == 0, "an empty queue")


async def test_the_profile_delivers_through_sqs_to_a_function(tmp_path: Path, aws: Aws) -> None:
    iam = boto3.client("iam", region_name="us-east-1", endpoint_url=aws.url)
    role = iam.create_role(RoleName=aws.prefix(), AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("handler.py", "def handle(event, context): return {'statusCode': 200}")
    functions = boto3.client("lambda", region_name="us-east-1", endpoint_url=aws.url)
    name = aws.prefix() + "presence"
    functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role,
        Handler="handler.handle",
        Code={"ZipFile": archive.getvalue()},
    )
    profile = json.loads((Path(__file__).parents[2] / "config" / "sqs-lambda.json").read_text())
    [app] = profile["app_manager"]["array"]["apps"]
    app |= {"id": APP.id, "key": APP.key, "secret": APP.secret}
    app["webhooks"][0]["lambda"] |= {"function_name": name, "region": "us-east-1"}
    profile["queue"]["sqs"] |= {"region": "us-east-1", "endpoint_url": aws.url, "wait_time_seconds": 1}
    document = prefixed(aws, {**profile, "host": "127.0.0.1", "shutdown_grace_period": 1})
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL_LAMBDA": aws.url}
    with running(document, tmp_path, environment) as server:
        async with connected(server, APP) as client:
            data = json.dumps({"user_id": "7", "user_info": {}})
            await client.subscribe("presence-room", data)
            line = 'sockudo_webhook_deliveries_total{app_id="3",outcome="delivered"'

            def delivered() -> bool:
                return line in server.get("/metrics", server.metrics_port)[1].decode()

            await eventually(delivered, "a delivery")
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in server.log()
