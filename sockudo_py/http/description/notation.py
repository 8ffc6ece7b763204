"""A short way to write what routes take and give. ``management/openapi/document.py`` makes the OpenAPI document of it.

A schema is a JSON Schema as a mapping. One that ``record`` has made with a name becomes a component of the document.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
DECIMAL: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}
ANYTHING: Final[Schema] = {}
MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}


def maybe(schema: Schema) -> Schema:
    """Return the schema of such a value or null."""
    if not schema:
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if isinstance(schema.get("type"), str) and "enum" not in schema and "title" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def many(schema: Schema) -> Schema:
    """Return the schema of a list of such values."""
    return {"type": "array", "items": schema}


def words(values: Iterable[str]) -> Schema:
    """Return the schema of a text that is one of these."""
    return {"type": "string", "enum": list(values)}


def by_name(schema: Schema) -> Schema:
    """Return the schema of an object whose names may be any, and whose values are such."""
    return {"type": "object", "additionalProperties": schema}


def record(
    name: str, fields: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, *, closed: bool = True
) -> Schema:
    """Return the schema of an object.

    Args:
        name: Of the component; "": it is written where it is used.
        fields: That are always there.
        optional: That may be missing.
        closed: There are no other fields.
    """
    made: dict[str, Any] = {"title": name} if name else {}
    made |= {"type": "object", "properties": {**fields, **(optional or {})}}
    if fields:
        made["required"] = list(fields)
    return {**made, "additionalProperties": False} if closed else made


@dataclass(frozen=True, slots=True)
class Param:
    """A field of a request that may stand in its query, and, where the route says so, in its JSON body.

    Args:
        name: Its name.
        says: What it means.
        schema: Of one value in the query.
        in_body: Of the value in a JSON body, where it is another.
        default: Of a number that is not given.
        most: Of a number.
        required: The request needs it.
    """

    name: str
    says: str = field(default="", kw_only=True)
    schema: Schema = field(default_factory=lambda: {**TEXT, "minLength": 1}, kw_only=True)
    in_body: Schema | None = field(default=None, kw_only=True)
    default: int | None = field(default=None, kw_only=True)
    most: int | None = field(default=None, kw_only=True)
    required: bool = field(default=False, kw_only=True)


def number(name: str, says: str, *, default: int, most: int) -> Param:
    """Return a field that is a whole number from 1 to ``most``."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Param(name, says=says, schema=schema, default=default, most=most)


def flag(name: str, says: str) -> Param:
    """Return a field that is true or false."""
    return Param(name, says=says, schema=FLAG)


def moment(name: str, says: str) -> Param:
    """Return a field that is a time."""
    number = {"type": "integer", "minimum": 100_000_000, "maximum": 253_402_300_799_000}
    return Param(name, says=f"{says} ISO 8601, or Unix milliseconds.", schema={"anyOf": [MOMENT, number]})


def listed(name: str, says: str, *values: str, in_body: Schema | None = None) -> Param:
    """Return a field that is a list of texts, in a query with commas between them."""
    one: Schema = {**TEXT, "minLength": 1}
    schema = TEXT
    if values:
        choice = "|".join(values)
        one, schema = words(values), {**TEXT, "pattern": f"^({choice})(,({choice}))*$"}
    return Param(name, says=f"{says} In a query with commas between them.", schema=schema, in_body=in_body or many(one))


@dataclass(frozen=True, slots=True)
class Said:
    """What the OpenAPI document says about a route of the HTTP API.

    Args:
        says: What it does.
        answers: By status, the schema of each answer that is no error. A text is ``text/plain``, else it is JSON.
        fields: Of the query; ``in_body`` stays unused.
        headers: That have a meaning.
        body: Schema of the body; a text is one of any kind.
        example: A body.
    """

    says: str
    answers: Mapping[int, Schema]
    fields: tuple[Param, ...] = ()
    headers: tuple[Param, ...] = ()
    body: Schema | None = None
    example: Mapping[str, Any] | str | None = None
