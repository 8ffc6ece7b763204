"""JSON Schema: is a schema one, and does a value fit it?

The library (the extra ``schemas``) is imported with the first schema. References to other documents are refused: nobody
fetches anything. Patterns take time linear in the text.
"""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

MOST_BYTES = 65_536  # of a schema, as JSON
MOST_DEPTH = 64
MOST_PROBLEMS = 20
_PATTERN_BYTES = 1 << 20  # of a compiled pattern

Problems = list[tuple[str, str]]  # where (such as ``items.0.price``; "" is the value itself), and what
Check = Callable[[Any], Problems]


def available() -> bool:
    """Return whether the library is there. It is not imported."""
    return importlib.util.find_spec("jsonschema_rs") is not None


def compiled(schema: Mapping[str, Any]) -> Check:
    """Return what finds the problems of a value, at most 20. Raises ValueError when it is no usable schema.

    A value may be nested 254 deep, as orjson writes it.
    """
    import jsonschema_rs

    if _depth(schema) > MOST_DEPTH:
        raise ValueError(f"is nested more than {MOST_DEPTH} deep")

    def refuse(uri: str) -> Any:
        raise ValueError("references to other documents are not followed")

    try:
        validator = jsonschema_rs.validator_for(
            dict(schema), retriever=refuse, pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES)
        )
    except (jsonschema_rs.ValidationError, ValueError, TypeError) as problem:
        raise ValueError(str(problem).partition("\n")[0][:300]) from None

    def check(value: Any) -> Problems:
        found: Problems = []
        for problem in validator.iter_errors(value):
            found.append((".".join(map(str, problem.instance_path))[:200], problem.message[:300]))
            if len(found) == MOST_PROBLEMS:
                break
        return found

    return check


def _depth(value: Any, above: int = 0) -> int:
    if above > MOST_DEPTH or not isinstance(value, Mapping | list | tuple):
        return above
    inner = value.values() if isinstance(value, Mapping) else value
    return max((_depth(one, above + 1) for one in inner), default=above + 1)
