"""Which operators a file asks for, and what its own functions come to when they are written out."""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from registry.intake.gate.errors import (
    CompiledModel,
    DuplicateName,
    RecursiveFunction,
    TooDeep,
    TooMuch,
    UnknownOperator,
)
from registry.intake.gate.limits import GateLimits
from registry.intake.gate.wording import shown

_STANDARD = b"ai.onnx"
# A compiled engine for one device, or a path to one, which the runtime would read.
_COMPILED = frozenset({b"EPContext"})


class Operator(NamedTuple):
    domain: bytes
    name: bytes
    overload: bytes

    def __str__(self) -> str:
        return f"{shown(self.name)} of {shown(self.domain)}"


def operator(domain: bytes, name: bytes, overload: bytes) -> Operator:
    """Name an operator; the standard domain has two spellings."""
    return Operator(domain or _STANDARD, name, overload)


@dataclass(slots=True)
class Body:
    """The operators of the model's graphs, or of a function's, with how often each is asked for."""

    operators: Counter[Operator] = field(default_factory=Counter)
    first_at: dict[Operator, str] = field(default_factory=dict)  # the first node that asks

    def add(self, asked: Operator, node: object) -> bool:
        """Count one that asks; True: the first that does."""
        self.operators[asked] += 1
        is_first = asked not in self.first_at
        if is_first:
            self.first_at[asked] = str(node)
        return is_first


class WrittenOut(NamedTuple):
    """What a body comes to with every call replaced by what it calls."""

    nodes: int
    depth: int


_NOTHING = WrittenOut(0, 0)


def check_operators(main: Body, functions: Sequence[tuple[Operator, Body]], limits: GateLimits) -> None:
    """Check every operator that is asked for, and that functions end."""
    defined: dict[Operator, Body] = {}
    for name, body in functions:
        if name in defined:
            raise DuplicateName(f"The file defines the function {name} twice; give each its own name.")
        defined[name] = body
    for body in (main, *defined.values()):
        _check_known(body, defined, limits)
    _check_sizes(main, defined, limits)


def _check_known(body: Body, defined: Container[Operator], limits: GateLimits) -> None:
    for asked, node in body.first_at.items():
        if asked.name in _COMPILED:
            raise CompiledModel(
                f"The {node} is {asked}, which holds what was compiled for one device; send the model it was made from."
            )
        if asked.domain.decode(errors="replace") not in limits.opsets and asked not in defined:
            raise UnknownOperator(
                f"The {node} asks for the operator {asked}, which is neither the runtime's nor defined in the file;"
                f" use operators of {', '.join(limits.opsets)}."
            )


def _check_sizes(main: Body, defined: dict[Operator, Body], limits: GateLimits) -> None:
    """Add up the nodes with every call replaced by the function's nodes: small files can hold 2^1000 of them."""
    written_out: dict[Operator, WrittenOut] = {}
    for name in defined:
        if name not in written_out:
            _write_out(name, defined, written_out, limits)
    if _written_out(main, written_out, limits).nodes > limits.max_nodes:
        raise TooMuch(
            f"With its functions written out the file holds more than {limits.max_nodes:,} nodes; send a smaller model."
        )


def _write_out(
    start: Operator,
    defined: dict[Operator, Body],
    written_out: dict[Operator, WrittenOut],
    limits: GateLimits,
) -> None:
    """Fill in what functions come to, the innermost first; no recursion here, for the file chooses its depth."""
    under_way = {start: _callees(defined[start], defined)}
    while under_way:
        name, callees = next(reversed(under_way.items()))
        callee = next((each for each in callees if each not in written_out), None)
        if callee is None:
            written_out[name] = _written_out(defined[name], written_out, limits)
            del under_way[name]
            if written_out[name].depth > limits.max_depth:
                raise TooDeep(
                    f"The function {name} begins more than {limits.max_depth} calls in each other; flatten it."
                )
        elif callee in under_way:
            raise RecursiveFunction(
                f"The function {callee} calls itself; export the model without recursion."
            )
        else:
            under_way[callee] = _callees(defined[callee], defined)


def _callees(body: Body, defined: dict[Operator, Body]) -> Iterator[Operator]:
    return (asked for asked in body.operators if asked in defined)


def _written_out(body: Body, known: dict[Operator, WrittenOut], limits: GateLimits) -> WrittenOut:
    nodes, depth = 0, 0
    for asked, times in body.operators.items():
        inside = known.get(asked, _NOTHING)
        nodes += times * (1 + inside.nodes)
        depth = max(depth, inside.depth)
    return WrittenOut(min(nodes, limits.max_nodes + 1), depth + 1)
