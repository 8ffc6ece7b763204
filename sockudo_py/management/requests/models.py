"""What bodies of the management API may hold. The OpenAPI document is made of these models.

Types are strict: ``"10"`` is no number, ``"yes"`` no flag. Fields that are not here are refused.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, SecretStr, ValidationError

from sockudo_py.config.problems import SEE_KEYS, UNKNOWN_KEY, Problem, show, translate
from sockudo_py.config.sections.endpoint import EndpointConfig, EndpointFields, EventType
from sockudo_py.config.sections.types import HttpUrl, Name, Section
from sockudo_py.management.requests.values import FieldProblem, Refused

MASK = "***"  # in place of a header's value; sent back, it stands for the value that is kept

Secret = Annotated[SecretStr, Field(min_length=16, max_length=4096)]
Events = Annotated[tuple[EventType, ...], Field(max_length=200)]


class EndpointBody(EndpointFields):
    """An endpoint, as it is created or replaced. Exactly one of `url`, `lambda` and `feed` is given."""

    # What ``editing`` and ``named_once`` check.
    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["url"], "properties": {"url": {"type": "string"}}},
                {"required": ["lambda"], "properties": {"lambda": {"type": "object"}}},
                {"required": ["feed"], "properties": {"feed": {"type": "object"}}},
            ],
            "not": {"required": ["events", "event_types"]},
        }
    )

    app_id: Name | None = Field(default=None, description="The app; null: the one of the key, or of the path.")
    events: Events | None = Field(default=None, description="Another name of `event_types`.")
    secret: Secret | None = Field(
        default=None,
        description="Signing secret, 16 bytes or more; null: the server makes one, or keeps its own.",
    )


class RotateBody(Section):
    """A new secret."""

    grace_s: Annotated[int, Field(ge=0, le=30 * 86400)] | None = Field(
        default=None, description="Seconds that the old secret signs too; null: `webhooks.signature.rotation_grace_s`."
    )
    secret: Secret | None = Field(default=None, description="The new secret; null: the server makes one.")


class TestBody(Section):
    """A test delivery."""

    event_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$")] | None = Field(
        default=None, description="Type of the event; null: one that the endpoint listens to."
    )


class ProjectBody(Section):
    """What Pulse says about a project."""

    webhook_url: HttpUrl = Field(description="Where events are posted to.")
    events: Events | None = Field(default=None, description="Events to send; null: all.")


class LinkBody(Section):
    """A link for a tenant."""

    app_id: Name | None = Field(default=None, description="The app; null: the one of the key.")
    scope: Literal["read", "write"] = Field(default="read", description="What it may do; `write` includes `read`.")
    expires_s: Annotated[int, Field(ge=1, le=86400)] = Field(default=3600, description="Seconds that it lasts.")


class NoBody(Section):
    """A body without fields."""


Model = TypeVar("Model", bound=Section)


def read(model: type[Model], body: Mapping[str, Any]) -> Model:
    """Return a body as its model. Raises Refused: 422, naming every field that is wrong."""
    try:
        return model.model_validate_json(json.dumps(body), strict=True)
    except ValidationError as error:
        problems = translate(error, model)
        kinds = {details["type"] for details in error.errors(include_url=False, include_input=False)}
    found = [FieldProblem(show(one.loc), _words(one)) for one in problems[:50]]
    code = "unknown_field" if kinds == {"extra_forbidden"} else "invalid_field"
    said = "; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in found[:5])
    raise Refused(422, code, said, found)


def _words(problem: Problem) -> str:
    """Return what is wrong, without a word about files: who asks the API has none."""
    text, remedy = problem.text.replace(UNKNOWN_KEY, "is not known here"), problem.remedy
    return f"{text}; {remedy}" if remedy and remedy != SEE_KEYS else text


def config_of(spec: Mapping[str, Any]) -> EndpointConfig:
    """Return an endpoint's fields, which ``read`` has accepted, as the configuration has them."""
    return EndpointConfig.model_validate({**spec, "trusted": False})


def merged(spec: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``spec`` with the fields of ``patch`` (RFC 7396): objects are merged, null resets to the default."""
    result = dict(spec)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            old = result.get(name)
            result[name] = merged(old if isinstance(old, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def named_once(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with ``event_types`` under that name. Raises Refused when it has both names."""
    if "events" not in body:
        return dict(body)
    if "event_types" in body:
        problem = FieldProblem("events", "is another name of event_types; give one of them")
        raise Refused(422, "invalid_field", f"{problem.field}: {problem.message}", [problem])
    return {("event_types" if name == "events" else name): value for name, value in body.items()}
