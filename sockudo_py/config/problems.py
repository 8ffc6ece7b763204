"""Mistakes in a configuration, each with its place and a remedy. No message ever shows what may be a secret."""

import difflib
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sockudo_py.config.sections.types import HIDDEN_PATH, UNSHOWN
from sockudo_py.config.tables.foreign import OWN_PREFIXES

Loc = tuple[str | int, ...]
OPTION = "--"  # the name of a variable begins so when it is an option of the command line

# By pydantic's error type: what is wrong, what to do. {x} comes from the error's context, which holds rules only.
TEXTS: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "add it"),
    "int_type": ("must be a whole number", ""),
    "int_parsing": ("must be a whole number", ""),
    "int_parsing_size": ("is too large", ""),
    "int_from_float": ("must be a whole number", ""),
    "float_type": ("must be a number", ""),
    "float_parsing": ("must be a number", ""),
    "finite_number": ("must be a finite number", ""),
    "bool_type": ("must be true or false", ""),
    "bool_parsing": ("must be true or false", ""),
    "string_type": ("must be text", "put it in quotes"),
    "tuple_type": ("must be a list", "put it in [ ]"),
    "dict_type": ("must be an object", "put it in {{ }}"),
    "model_type": ("must be an object", "put it in {{ }}"),
    "model_attributes_type": ("must be an object", "put it in {{ }}"),
    "greater_than": ("must be more than {gt}", ""),
    "greater_than_equal": ("must be {ge} or more", ""),
    "less_than": ("must be less than {lt}", ""),
    "less_than_equal": ("must be {le} or less", ""),
    "string_too_short": ("must not be empty", ""),
    "string_too_long": ("must not be longer than {max_length} characters", ""),
    "too_long": ("must not have more than {max_length} entries", ""),
    "too_short": ("must not be empty", ""),
    "string_pattern_mismatch": ("has characters or a shape that are not allowed here", "it must match {pattern}"),
}

# What is said in place of "must not be empty" where one is too few.
_AT_LEAST: Mapping[str, str] = {
    "string_too_short": "must have {min_length} characters or more",
    "too_short": "must have {min_length} entries or more",
}

# A remedy for a word that may not stand at its place.
_REMEDIES: Mapping[str, str] = {
    "app_manager.driver": "apps in another database are not read: copy them to one of these, or make a file of each in "
    "a folder, name that as app_manager.file.path, and write file",
}


UNKNOWN_KEY = "is not a known key"
SEE_KEYS = "remove it; docs/configuration.md lists the keys"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake at one place."""

    loc: Loc
    text: str
    remedy: str = ""


@dataclass(slots=True)
class Origins:
    """Where values came from, for those that are not where the file had them.

    Keys of ``moved`` are places in the normalised document; a value is a variable (None: the file) and the place in
    the file. ``referenced`` has the variables that the file fetches, by the place in the file; ``passed_over`` those of
    them that hold nothing to fetch.
    """

    file: str
    moved: dict[Loc, tuple[str | None, Loc]] = field(default_factory=dict)
    referenced: dict[Loc, str] = field(default_factory=dict)
    passed_over: set[str] = field(default_factory=set)

    def move(self, old: Loc, new: Loc, source: str | None = None) -> None:
        """Note that what is now at ``new`` was written at ``old``."""
        if source is None:
            source, old = self.find(old)
        self.moved[new] = (source, old)

    def find(self, loc: Loc) -> tuple[str | None, Loc]:
        """Return the variable (None: the file) and the place in the file that the value at ``loc`` came from."""
        for length in range(len(loc), 0, -1):
            hit = self.moved.get(loc[:length])
            if hit is not None:
                return hit[0], hit[1] + loc[length:]
        return None, loc

    def place(self, loc: Loc) -> str:
        """Return ``file: dotted.key[1].path`` of the value at ``loc``, or the variable that it came from."""
        moved, written = self.find(loc)
        variable = self.variable(loc)
        place = f"{self.file}: {show(written)}" if written else self.file
        if variable is None:
            return place
        if variable.startswith(OPTION):
            return f"option {variable}"
        return f"environment variable {variable}" + (f" ({place})" if moved is None else "")

    def variable(self, loc: Loc) -> str | None:
        """Return the environment variable that gave the value at ``loc``, if one did."""
        variable, written = self.find(loc)
        lengths = range(len(written), 0, -1)
        return variable or next((self.referenced[written[:n]] for n in lengths if written[:n] in self.referenced), None)

    def line(self, problem: Problem) -> str:
        """Return ``file: dotted.key[1].path: problem; remedy``, or the variable in place of the key."""
        line = f"{self.place(problem.loc)}: {problem.text}"
        variable, _ = self.find(problem.loc)
        # A rule about several keys of a section names them; the one that came from a variable is the news.
        for word in () if variable else re.findall(r"[a-z_]+", f"{problem.text} {problem.remedy}"):
            if (*problem.loc, word) in self.moved and (variable := self.moved[(*problem.loc, word)][0]):
                line = f"environment variable {variable}: {problem.text}"
                break
        if variable is not None and not variable.startswith((*OWN_PREFIXES, OPTION)):
            remedy = f"{problem.remedy}, or, " if problem.remedy else ""
            return f"{line}; {remedy}if it is another program's, unset it for this server"
        return f"{line}; {problem.remedy}" if problem.remedy else line


def show(loc: Loc) -> str:
    """Return a place as ``apps[1].secret``. Parts that aren't plain words are cut and made printable."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if len(part) <= 64 else part[:64] + "..."
            text += ("." if text else "") + (word if word.isprintable() else ascii(word))
    return text


def translate(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return pydantic's findings about a document of this model in our words."""
    problems = []
    for details in error.errors(include_url=False):
        loc = details["loc"]
        if details["type"] == "extra_forbidden":
            problems.append(Problem(loc, UNKNOWN_KEY, _hint(loc, model)))
        else:
            text, remedy = _text(details, model)
            value = given(details["input"]) if text.startswith("must be") and is_public(model, loc) else ""
            problems.append(Problem(loc, f"{text}, not {value}" if value else text, remedy))
    return problems


def given(value: object) -> str:
    """Return a value as a message shows it; empty when it is long or of a shape that a secret may have."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value) if abs(value) < 1e12 else ""
        case str() if value == "":
            return "empty text"
        case str() if re.fullmatch(_HARMLESS, value) or _UNIT.fullmatch(value):
            return value if value.isdigit() else repr(value)
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
    return ""


_HARMLESS = r"[A-Za-z0-9 _.,:%/+\-]{1,12}"
_UNIT = re.compile(r"-?[0-9][0-9.,_ ]{0,15} ?[A-Za-z%]{0,12}")  # a number, perhaps with a unit


def is_public(model: type[BaseModel], loc: Loc) -> bool:
    """Return whether the value at a place is none that holds a secret."""
    current: Any = model
    for part in (part for part in loc if isinstance(part, str)):
        if current is None:
            return False
        fields = current.model_fields.items()
        info = next((info for name, info in fields if (info.alias or name) == part), None)
        if info is None or {HIDDEN_PATH, UNSHOWN} & set(map(str, info.metadata)) or "SecretStr" in str(info.annotation):
            return False
        current = item_type(info.annotation)
    return True


def _text(details: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    kind = details["type"]
    context = details.get("ctx", {})
    special = _special_text(details["loc"], kind)
    if special is not None:
        return special
    if kind == "literal_error":
        words = [repr(word) for word in usable(model, details["loc"])]
        text = f"must be {' or '.join([', '.join(words[:-1]), words[-1]] if words[1:] else words)}"
        only = f"write {words[0][1:-1]}" if len(words) == 1 else ""
        return text, _REMEDIES.get(show(details["loc"]), only)
    if kind == "value_error":
        text, _, remedy = str(context.get("error", "is not valid")).partition("; ")
        return text, remedy
    if kind in ("too_short", "too_long") and not isinstance(details["input"], (list, tuple, dict)):
        kind = f"string_{kind}"  # a secret
    if kind in _AT_LEAST and context.get("min_length", 1) > 1:
        return _AT_LEAST[kind].format(**context), ""
    if kind not in TEXTS:
        return details["msg"], ""
    text, remedy = TEXTS[kind]
    rules = {name: _plain(rule) for name, rule in context.items()}
    return text.format(**rules), remedy.format(**rules)


def _special_text(loc: Loc, kind: str) -> tuple[str, str] | None:
    """Return what to say where people are known to expect something else at a place."""
    if loc == ("webhooks",) and kind in ("model_type", "model_attributes_type"):
        return (
            "must be an object with settings of delivery",
            "the endpoints of an app belong into app_manager.array.apps[].webhooks",
        )
    return None


def choices(annotation: Any) -> tuple[str, ...]:
    """Return the words that a key with this annotation, or its list, may hold; none when it isn't an enumeration."""
    if get_origin(annotation) is Literal:
        return tuple(word for word in get_args(annotation) if isinstance(word, str))
    return tuple(word for argument in get_args(annotation) for word in choices(argument))


def usable(model: type[BaseModel], loc: Loc) -> list[str]:
    """Return the words that may stand at a place."""
    names = [part for part in loc if isinstance(part, str)]
    section = section_at(model, tuple(names[:-1]))
    fields = () if section is None else section.model_fields.items()
    return list(next((choices(info.annotation) for name, info in fields if (info.alias or name) == names[-1]), ()))


def _plain(rule: object) -> object:
    return int(rule) if isinstance(rule, float) and rule.is_integer() else rule


def _hint(loc: Loc, model: type[BaseModel]) -> str:
    *parents, key = loc
    section = section_at(model, tuple(parents))
    if section is None or not isinstance(key, str):
        return "remove it"
    dotted = _from_camel(key)
    if "." in key and _exists(section, dotted):
        nested = "".join(f'{{"{part}": ' for part in dotted.split("."))
        return f"write it nested: {nested}...{'}' * (dotted.count('.') + 1)}"
    names = key_names(section)
    close = [dotted] if dotted in names else difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    prefix = "".join(f"{part}." for part in parents if isinstance(part, str))
    elsewhere = _places(model, key)
    nearer = [place for place in elsewhere if prefix and place.startswith(prefix)]
    if nearer or len(elsewhere) == 1 or (elsewhere and not prefix):
        return f"did you mean {(nearer or elsewhere)[0]}?"
    return SEE_KEYS


def _from_camel(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), key)


def _exists(section: type[BaseModel], dotted: str) -> bool:
    *parents, last = dotted.split(".")
    inner = section_at(section, tuple(parents))
    return inner is not None and last in key_names(inner)


def key_names(section: type[BaseModel]) -> list[str]:
    """Return the keys of a section as they are written in a file."""
    return [info.alias or name for name, info in section.model_fields.items()]


def section_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """Return the section that a place is, or None when it isn't one."""
    current: Any = model
    for part in loc:
        if isinstance(part, int):
            continue  # the list's type was unwrapped to that of its items already
        current = next(
            (item_type(info.annotation) for name, info in current.model_fields.items() if (info.alias or name) == part),
            None,
        )
        if current is None:
            return None
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def item_type(annotation: Any) -> type[BaseModel] | None:
    """Return the section inside an annotation such as ``tuple[AppConfig, ...]`` or ``X | None``, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, tuple, Union, types.UnionType):
        for argument in get_args(annotation):
            found = item_type(argument)
            if found is not None:
                return found
    return None


def walk(model: type[BaseModel], prefix: str = "") -> Iterable[tuple[str, type[BaseModel]]]:
    """Yield every section under a model with its dotted place, depth first; ``[]`` marks the entries of a list."""
    yield prefix, model
    for name, info in model.model_fields.items():
        section = item_type(info.annotation)
        if section is not None:
            mark = "[]" if "tuple" in str(info.annotation) else ""
            yield from walk(section, f"{prefix}.{info.alias or name}{mark}".lstrip("."))


def _places(model: type[BaseModel], key: str) -> list[str]:
    return [f"{place}.{key}".lstrip(".") for place, section in walk(model) if key in key_names(section)]
