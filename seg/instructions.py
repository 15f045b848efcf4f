"""Loads, stores and shuffles as LLVM instructions, for compiled loops with vectors that Numba doesn't make by itself.

Numba identifies a compiled loop on disk by the loop's own file, not by this one. So a change here that changes the results of a
loop needs a change in the loop's file, too.
"""

from typing import Any

from llvmlite import ir
from numba import extending

intrinsic: Any = extending.intrinsic  # type checkers don't know that Numba passes the first argument by itself
WORD = ir.IntType(32)


def element(context: Any, build: Any, signature: Any, args: Any, array: int, offset: int) -> Any:
    """Returns the address of an element of a flat array; `array` and `offset` are positions among an intrinsic's arguments."""
    data = context.make_array(signature.args[array])(context, build, args[array]).data
    return build.gep(data, [args[offset]])


def load(build: Any, pointer: Any, kind: Any, align: int) -> Any:
    """Loads a value of the given type from any address."""
    loaded = build.load(build.bitcast(pointer, kind.as_pointer()))
    loaded.align = align
    return loaded


def store(build: Any, value: Any, pointer: Any, align: int, streams: bool = False) -> None:
    """Writes a value; with `streams` it bypasses the caches, so that nothing is read in first."""
    stored = build.store(value, build.bitcast(pointer, value.type.as_pointer()))
    stored.align = align
    if streams:
        stored.set_metadata("nontemporal", build.module.add_metadata([WORD(1)]))


def shuffle(build: Any, order: list[int], one: Any, other: Any = None) -> Any:
    """Returns elements of a vector, or of two, whose elements are numbered one after the other."""
    other = ir.Constant(one.type, ir.Undefined) if other is None else other
    return build.shuffle_vector(one, other, ir.Constant(ir.VectorType(WORD, len(order)), order))


def interleave(build: Any, one: Any, other: Any) -> Any:
    """Returns the elements of two vectors, alternately."""
    count = one.type.count
    return shuffle(build, [place for i in range(count) for place in (i, count + i)], one, other)


def spread(build: Any, scalar: Any, lanes: int) -> Any:
    """Fills a vector with one value."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    return shuffle(build, [0] * lanes, build.insert_element(undefined, scalar, WORD(0)))
