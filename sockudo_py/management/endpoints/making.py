"""From what a request says to an endpoint: uids, secrets, profiles, and whether it may be."""

import base64
import re
import secrets
from collections.abc import Iterable
from dataclasses import replace

from sockudo_py.apps.definition import define_endpoint
from sockudo_py.config import EndpointConfig, WebhooksConfig
from sockudo_py.endpoints import Endpoint
from sockudo_py.management.endpoints.documents import Document
from sockudo_py.management.requests.values import FieldProblem, Refused
from sockudo_py.protocol.app import App
from sockudo_py.webhooks.endpoints.profiles import scheme_of

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no two letters look alike
_FIELD = re.compile(r"(?P<field>[a-z_]+(\.[A-Za-z0-9_-]+)*): (?P<text>.*)", re.DOTALL)
_HTTPS = "must begin with https://"
_FORBIDDEN = "link-local addresses and metadata services of clouds are forbidden"


def new_uid(now_ms: int) -> str:
    """Return the uid of a new endpoint: later ones sort behind earlier ones."""
    number = now_ms << 80 | secrets.randbits(80)
    return "wh_" + "".join(_ALPHABET[number >> 5 * place & 31] for place in range(25, -1, -1))


def new_secret() -> str:
    """Return a signing secret, as Standard Webhooks has them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def define(document: Document, app: App, defaults: WebhooksConfig) -> Endpoint:
    """Return the endpoint of a document. Raises ValueError when this version does not know its fields.

    Args:
        document: As stored.
        app: The app that it belongs to.
        defaults: The section ``webhooks``.
    """
    config = EndpointConfig.model_validate({"profile": document.profile, **document.spec})
    made = define_endpoint(config, app, defaults, uid=document.uid, number=document.number, trusted=False)
    return replace(made, secrets=document.secrets)


def signs_itself(endpoint: Endpoint) -> bool:
    """Return whether a secret of the endpoint's own signs, and not the app's alone."""
    return any(scheme_of(endpoint, profile).keys != "app" for profile in (endpoint.profile, *endpoint.also_sign))


def refuse(problems: Iterable[str]) -> None:
    """Raise Refused: 422, when there are problems as ``validation.problems_of`` words them."""
    found = []
    for problem in problems:
        split = _FIELD.fullmatch(problem)
        found.append(FieldProblem(split["field"], split["text"]) if split else FieldProblem("", problem))
    if not found:
        return
    code = "invalid_field"
    if any(one.message == _HTTPS for one in found):
        code = "https_required"
    for one in found:
        if code != "https_required" and one.message.startswith(_FORBIDDEN):
            raise blocked(one.field)
    said = "; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in found)
    raise Refused(422, code, said, found)


def blocked(field: str = "url") -> Refused:
    """Return the answer for a URL that leads where no endpoint may. The answer does not say what is at that address."""
    problem = FieldProblem(field, "address not allowed")
    return Refused(422, "blocked_address", f"{field}: address not allowed", [problem])
