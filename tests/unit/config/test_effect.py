"""Every key of the configuration is read by some part of the server, or listed as one that has no effect yet.

The source is read, not run: an expression that is known to hold a section (a parameter with its type, an attribute of
a section, a variable or an attribute of ``self`` that was given one) makes the keys that are fetched from it used.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

import sockudo_py
from sockudo_py.config import Config
from sockudo_py.config.problems import item_type, walk
from sockudo_py.config.tables.unused import NOT_YET, has_no_effect_yet

SOURCE = Path(sockudo_py.__file__).parent
Places = frozenset[str]
NOWHERE: Places = frozenset()


def keys_of(place: str, section: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield attribute and place of each key of a section, with ``[]`` behind a list of sections."""
    for name, info in section.model_fields.items():
        mark = "[]" if item_type(info.annotation) and "tuple" in str(info.annotation) else ""
        yield name, f"{place}.{info.alias or name}{mark}".lstrip(".")


SECTIONS = dict(walk(Config))
KEYS = {place: dict(keys_of(place, section)) for place, section in SECTIONS.items()}
OF_CLASS: dict[str, Places] = {}
for _place, _section in SECTIONS.items():
    for _class in _section.__mro__:
        OF_CLASS[_class.__name__] = OF_CLASS.get(_class.__name__, NOWHERE) | {_place}
for _general in ("Section", "BaseModel", "object"):
    del OF_CLASS[_general]
TREES = [ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))]

# Whose other values are refused.
ONE_VALUED = {"webhooks.batching.durable", "metrics.driver"}


def annotated(annotation: ast.AST | None) -> Places:
    """Return the sections that something with this type may be."""
    words = () if annotation is None else ast.walk(annotation)
    return NOWHERE.union(*(OF_CLASS.get(word.id, NOWHERE) for word in words if isinstance(word, ast.Name)))


RETURNED: dict[str, Places] = {}  # by the name of a function
for _tree in TREES:
    for _node in ast.walk(_tree):
        if isinstance(_node, ast.FunctionDef):
            RETURNED[_node.name] = RETURNED.get(_node.name, NOWHERE) | annotated(_node.returns)


class Reader(ast.NodeVisitor):
    """Gathers in ``used`` the places of all keys that a module fetches."""

    def __init__(self, used: set[str]) -> None:
        self.used = used
        self.known: dict[str, Places] = {}  # variables, and attributes of self as "self.name"

    def places(self, node: ast.AST | None) -> Places:
        """Return the sections that an expression may hold."""
        match node:
            case ast.Name(name):
                return self.known.get(name, NOWHERE)
            case ast.Attribute(ast.Name("self"), name) if f"self.{name}" in self.known:
                return self.known[f"self.{name}"]
            case ast.Attribute(value, name):
                found = frozenset(KEYS[at][name] for at in self.places(value) if name in KEYS.get(at, {}))
                self.used |= found
                return found
            case ast.BoolOp(values=values):
                return NOWHERE.union(*map(self.places, values))
            case ast.IfExp(body=body, orelse=orelse):
                return self.places(body) | self.places(orelse)
            case ast.Call(ast.Name("enumerate" | "list" | "sorted" | "reversed"), [value, *_]):
                return self.places(value)
            case ast.Call(ast.Name(name)):
                return RETURNED.get(name, NOWHERE)
            case ast.Subscript(value=value):
                return self.places(value)
            case ast.Tuple(elts=elements):
                return NOWHERE.union(*map(self.places, elements))
        return NOWHERE

    def bind(self, target: ast.AST, value: ast.AST) -> None:
        match target, value:
            case ast.Tuple(elts=targets), ast.Tuple(elts=values):
                for one, other in zip(targets, values, strict=True):
                    self.bind(one, other)
            case ast.Tuple(elts=targets), _:
                for one in targets:
                    self.bind(one, value)
            case ast.Name(name), _:
                self.known[name] = self.places(value)
            case ast.Attribute(ast.Name("self"), name), _ if self.places(value):
                self.known[f"self.{name}"] = self.places(value)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before = self.known
        self.known = {**before, "self": OF_CLASS.get(node.name, NOWHERE)}
        for part in node.body:
            checks = isinstance(part, ast.FunctionDef) and "model_validator" in ast.unparse(part.decorator_list[:1])  # type: ignore[arg-type]
            if not checks:  # what only looks whether keys agree does not use them
                self.visit(part)
        self.known = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before = self.known
        self.known = dict(before)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            if argument.arg != "self":
                self.known[argument.arg] = annotated(argument.annotation)
        self.generic_visit(node)
        attributes = {name: places for name, places in self.known.items() if name.startswith("self.")}
        self.known = {**before, **attributes}

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self.bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self.bind(node.target, node.value)

    def visit_For(self, node: ast.For | ast.comprehension) -> None:
        self.bind(node.target, ast.Subscript(node.iter, ast.Constant(0)))  # one of them
        self.generic_visit(node)

    visit_comprehension = visit_For

    def visit_GeneratorExp(self, node: ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp) -> None:
        for loop in node.generators:  # they bind what stands before them
            self.visit(loop)
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.places(node)
        self.generic_visit(node)


def unused_keys() -> list[str]:
    """Return the places of all keys that nothing fetches."""
    used = set(ONE_VALUED)
    for tree in TREES:
        Reader(used).visit(tree)
    return [at for keys in KEYS.values() for at in keys.values() if at not in used]


def test_every_key_is_used_or_listed_as_without_effect() -> None:
    assert [key for key in unused_keys() if not has_no_effect_yet(key)] == []


def test_nothing_is_listed_as_without_effect_that_is_used() -> None:
    unused = unused_keys()
    assert [key for key in NOT_YET if not any(f"{one}.".startswith(f"{key}.") for one in unused)] == []
