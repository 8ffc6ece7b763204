"""From a job to signed requests, and the record of an attempt. Pure."""

from sockudo_py.endpoints import Endpoint
from sockudo_py.protocol.values import value
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.delivery.requests.envelopes import Body, bodies
from sockudo_py.webhooks.endpoints.headers import merge_headers
from sockudo_py.webhooks.endpoints.profiles import signed_headers
from sockudo_py.webhooks.events import RESYNC
from sockudo_py.webhooks.targets.base import Outcome, Request


@value
class Attempt:
    """The record of one attempt, for history and statistics.

    ``status`` is "delivered", "retrying" (``retry_in`` seconds from now) or "failed"; ``number`` is 1 at first.
    ``request`` is the last one that was sent; None: there was none. ``test``: a person tries the endpoint.
    """

    job: Job
    number: int
    max_attempts: int
    target: str
    outcome: Outcome
    status: str
    started_ms: int
    duration: float  # seconds
    retry_in: float | None = None
    request: Request | None = None
    test: bool = False


def request_for(endpoint: Endpoint, job: Job, body: Body, now: float) -> Request:
    """Return the request that carries a body of ``job``, signed at ``now`` (Unix seconds) over the very bytes sent."""
    headers = signed_headers(
        endpoint,
        body=body.content,
        body_id=body.id,
        delivery_id=job.id,
        attempt=job.attempt + 1,
        now=now,
    )
    if RESYNC_TEXT in job.events_text and (resync := resync_of(job)) is not None:
        headers = (*headers, ("X-Sockudo-Resync", resync))
    return Request(
        endpoint=endpoint.uid,
        body=body.content,
        headers=merge_headers(endpoint.headers, headers),
        url=endpoint.url,
        function=endpoint.function,
        timeout=endpoint.request_timeout,
        connect_timeout=endpoint.connect_timeout,
        trusted=endpoint.trusted,
        oauth2=endpoint.oauth2,
        client_cert=endpoint.client_cert,
    )


RESYNC_TEXT = b'"resync":"rs_'  # what no text is without that has such an event


def resync_of(job: Job) -> str | None:
    """Return the id of the resync that an event of the job belongs to; None: to none."""
    for event in job.events():
        found = event.get(RESYNC)
        if isinstance(found, str) and found.startswith("rs_"):
            return found
    return None


def requests_for(endpoint: Endpoint, job: Job, now: float) -> list[Request]:
    """Return the requests that deliver ``job`` at ``now`` (Unix seconds), however large they are."""
    return [request_for(endpoint, job, body, now) for body in bodies(endpoint, job, lambda: int(now * 1000))]
