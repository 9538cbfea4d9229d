"""Finds every action that the source passes to `record_change`, directly or through functions with an `action`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
APPS = ("registry", "inference", "moderation")
RECORDER = "record_change"


@dataclass
class Found:
    """The actions, and the calls whose action could not be read."""

    actions: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Function:
    """A function that is called with an action; `module` is None if it may be called from any module."""

    name: str
    module: Path | None
    position: int | None


@dataclass
class _Module:
    path: Path
    tree: ast.Module
    literals: dict[str, ast.expr]


def recorded_actions() -> Found:
    modules = [_read(path) for app in APPS for path in sorted((ROOT / app).rglob("*.py"))]
    functions = {_Function(RECORDER, None, None)}
    while True:
        found, more = Found(), set()
        for module in modules:
            for call, function, owner in _calls(module, functions):
                more |= _read_action(call, function, owner, module, found)
        if more <= functions:
            return found
        functions |= more


def _read(path: Path) -> _Module:
    tree = ast.parse(path.read_text())
    named = (
        node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    )
    return _Module(path, tree, {node.targets[0].id: node.value for node in named})


def _calls(
    module: _Module, functions: set[_Function]
) -> Iterator[tuple[ast.Call, _Function, ast.FunctionDef | None]]:
    """The module's calls of these functions, each with the function that it is in."""
    by_name = {each.name: each for each in functions if each.module in {None, module.path}}
    owners = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node): owner for owner in owners for node in ast.walk(owner)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and (function := by_name.get(_name(node.func))):
            yield node, function, inside.get(id(node))


def _name(function: ast.expr) -> str:
    return getattr(function, "id", getattr(function, "attr", ""))


def _read_action(
    call: ast.Call, function: _Function, owner: ast.FunctionDef | None, module: _Module, found: Found
) -> set[_Function]:
    """Add what the call passes as its action; return the function that only hands its own action on."""
    by_keyword = next((each.value for each in call.keywords if each.arg == "action"), None)
    has_place = function.position is not None and len(call.args) > function.position
    given = by_keyword or (call.args[function.position] if has_place else None)
    if isinstance(given, ast.Name) and given.id == "action" and owner is not None:
        names = [argument.arg for argument in owner.args.args]
        place = names.index("action") if "action" in names else None
        return {_Function(owner.name, module.path if owner.name.startswith("_") else None, place)}
    texts = _texts(given, module)
    if not texts:
        found.unread.append(f"{module.path.relative_to(ROOT)}:{call.lineno}")
    found.actions |= texts
    return set()


def _texts(node: ast.expr | None, module: _Module) -> set[str]:
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=one, orelse=other):
            return _texts(one, module) | _texts(other, module)
        case ast.Subscript(value=ast.Name(id=name)) if isinstance(module.literals.get(name), ast.Dict):
            values = [_texts(value, module) for value in module.literals[name].values]
            return set().union(*values) if all(values) else set()
    return set()
