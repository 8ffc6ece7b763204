"""``${NAME}`` and ``${NAME:-default}`` inside the strings of a configuration."""

import re
from collections.abc import Mapping
from typing import Any

from sockudo_py.config.problems import Loc, Origins, Problem
from sockudo_py.config.tables.environment import is_link, is_nothing

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


def interpolate(value: Any, env: Mapping[str, str], problems: list[Problem], origins: Origins, loc: Loc = ()) -> Any:
    """Return ``value`` with every reference replaced, in objects and lists too; mistakes go to ``problems``.

    A variable that is unset or empty counts as missing, as in a shell's ``:-``. ``$${`` stands for a literal ``${``.
    The result is text; validation makes a number or a flag of it where the key wants one. ``origins`` notes every
    variable whose value is in a text.
    """
    if isinstance(value, str):
        return _expand(value, env, problems, origins, loc) if "${" in value else value
    if isinstance(value, dict):
        return {key: interpolate(item, env, problems, origins, (*loc, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, env, problems, origins, (*loc, index)) for index, item in enumerate(value)]
    return value


def _expand(text: str, env: Mapping[str, str], problems: list[Problem], origins: Origins, loc: Loc) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        if name is None:
            problems.append(Problem(loc, "has a ${ that is no reference", "write ${NAME}, or $${ for a literal ${"))
            return match[0]
        value = env.get(name)
        if value and (is_link(name, value) or is_nothing(value)):
            origins.passed_over.add(name)
            value = None
        found = value or default
        if found is None and name in origins.passed_over:
            text = f"the environment variable {name} is a link to a service or the word null, which count as not set"
            problems.append(Problem(loc, text, f"set another, or write ${{{name}:-default}}"))
            return match[0]
        if found is None:
            remedy = f"set it (in a container: docker run -e {name}=...), or write ${{{name}:-default}}"
            problems.append(Problem(loc, f"the environment variable {name} is not set", remedy))
            return match[0]
        if value:
            origins.referenced[loc] = name
        return found

    return _REFERENCE.sub(replace, text)


def names_in(text: str) -> frozenset[str]:
    """Return the names of the variables that a text refers to."""
    return frozenset(match[1] for match in _REFERENCE.finditer(text) if match[1])
