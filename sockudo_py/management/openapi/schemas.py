"""Schemas of the document: what has a name becomes a component."""

import re
from collections.abc import Mapping
from typing import Any

from sockudo_py.config.sections.types import Section

_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


class Components:
    """Gathers the schemas that have a name."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def hoisted(self, schema: Any) -> Any:
        """Return a schema with references to components in place of what has a title."""
        if isinstance(schema, Mapping):
            made = {key: self.hoisted(value) for key, value in schema.items()}
            if "title" not in schema or not isinstance(schema["title"], str):
                return made
            name = made.pop("title")
            return self._component(name, made)
        if isinstance(schema, list | tuple):
            return [self.hoisted(one) for one in schema]
        return schema

    def model(self, model: type[Section], *, merges: bool) -> dict[str, Any]:
        """Return a model's schema as a component, and its parts as components."""
        schema = _cleaned(model.model_json_schema(ref_template="#/components/schemas/{model}"))
        for name, part in schema.pop("$defs", {}).items():
            self._component(name, part)
        if merges:
            return self._component(f"{model.__name__}Patch", _patch(schema))
        return self._component(model.__name__, schema)

    def _component(self, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        if self.schemas.setdefault(name, schema) != schema:
            raise ValueError(f"two schemas are named {name}")
        return {"$ref": f"#/components/schemas/{name}"}

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the component that a schema refers to, else the schema."""
        name = schema.get("$ref", "").rpartition("/")[2]
        found: Mapping[str, Any] = self.schemas[name] if name else schema
        return found


def _cleaned(schema: Any, *, names: bool = False) -> Any:
    """Return a model's schema without pydantic's titles and without links that lead nowhere here."""
    if isinstance(schema, list):
        return [_cleaned(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: _cleaned(value, names=key in ("properties", "$defs"))
        for key, value in schema.items()
        if names or key != "title"
    }
    if isinstance(made.get("description"), str):
        made["description"] = _LINK.sub(r"\1", made["description"])
    return made


def _patch(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a merge patch: no field has to be there, and each may be null."""
    fields = {name: {"anyOf": [_loose(one), {"type": "null"}]} for name, one in schema["properties"].items()}
    return {
        "type": "object",
        "description": "Fields to change (RFC 7396); null resets one to its default. "
        f"{schema.get('description', '')}".strip(),
        "properties": fields,
        "additionalProperties": False,
    }


def _loose(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a field in a patch: objects in it are patches themselves."""
    parts = schema.get("anyOf", [schema])
    if any("$ref" in one or one.get("type") == "object" for one in parts):
        return {"type": "object", "description": schema.get("description", "")}
    return {key: value for key, value in schema.items() if key != "default"}
