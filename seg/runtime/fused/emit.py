"""Loops, branches and vectors as LLVM instructions, for the tiles in `vectors`."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from seg import instructions
from seg.instructions import WORD
from seg.runtime.fused.processor import LANES

FLOAT, INT = ir.FloatType(), ir.IntType(64)
FLOATS, WORDS = ir.VectorType(FLOAT, LANES), ir.VectorType(WORD, LANES)
Values = list[Any]


def number(value: int) -> Any:
    """Returns an offset or a count."""
    return INT(value)


def constant(value: float) -> Any:
    """Returns a vector with one float in all lanes."""
    return ir.Constant(FLOATS, [value] * LANES)


def call(build: Any, name: str, result: Any, *args: Any) -> Any:
    """Calls one of LLVM's own functions."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return build.call(cgutils.get_or_insert_function(build.module, kind, name), args)


def spread(build: Any, scalar: Any) -> Any:
    """Fills a vector with one value of 32 bits."""
    return instructions.spread(build, scalar, LANES)


def fma(build: Any, a: Any, b: Any, c: Any) -> Any:
    """Returns a * b + c."""
    return call(build, f"llvm.fma.v{LANES}f32", FLOATS, a, b, c)


def larger(build: Any, a: Any, b: Any) -> Any:
    """Returns the larger of each pair."""
    return build.select(build.fcmp_ordered(">", a, b), a, b)


def smaller(build: Any, a: Any, b: Any) -> Any:
    """Returns the smaller of each pair."""
    return build.select(build.fcmp_ordered("<", a, b), a, b)


def smaller_int(build: Any, a: Any, b: Any) -> Any:
    """Returns the smaller of two numbers."""
    return build.select(build.icmp_signed("<", a, b), a, b)


def loop(build: Any, count: Any, start: Sequence[Any], body: Callable[[Any, Values], Values]) -> Values:
    """Emits `for i in range(count)`, count at least 1, with values that each iteration passes to the next; returns the last."""
    before, top, after = build.block, build.append_basic_block("turn"), build.append_basic_block("after")
    build.branch(top)
    build.position_at_end(top)
    i, carried = build.phi(INT), [build.phi(value.type) for value in start]
    found = body(i, carried)
    following, end = build.add(i, INT(1)), build.block
    for phi, first, later in zip([i, *carried], [INT(0), *start], [following, *found], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, end)
    build.cbranch(build.icmp_signed("<", following, count), top, after)
    build.position_at_end(after)
    return found


def either(build: Any, condition: Any, make: Callable[[], Values], otherwise: Values) -> Values:
    """Emits `make() if condition else otherwise`."""
    before, then, after = build.block, build.append_basic_block("then"), build.append_basic_block("after")
    build.cbranch(condition, then, after)
    build.position_at_end(then)
    made, end = make(), build.block
    build.branch(after)
    build.position_at_end(after)
    merged = []
    for one, other in zip(made, otherwise, strict=True):
        phi = build.phi(one.type)
        phi.add_incoming(one, end)
        phi.add_incoming(other, before)
        merged.append(phi)
    return merged
