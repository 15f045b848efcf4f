"""How numbers lie in memory in each precision, and how the processor multiplies them.

A loop that reads or writes activations is written once. Which format they have it finds from the type of the array that they lie
in, while Numba compiles it: float32, or uint16 for bfloat16. Sums, biases and all arithmetic apart from products are
float32 in both.

Products read words of 32 bits: one value in float32, two neighbours in bfloat16, four in int8 (`Format.depth`). One instruction
multiplies the words of a vector by those of another and adds the products of each to a sum of its own. Only products are
computed in int8: in front of one, numbers become levels, of which there are 256; behind it, whole sums become floats.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from seg.runtime.fused import emit, processor
from seg.runtime.fused.processor import IS_ARM, LANES, LOWEST_LEVEL


class Format:
    """Float32, and what others have in common with it.

    Attributes:
        precision: its name.
        dtype: of arrays that hold such numbers.
        depth: how many a word holds.
    """

    precision = "fp32"
    dtype: npt.DTypeLike = np.float32
    depth = 1
    _element: Any = emit.FLOAT
    _bytes = 4

    def load(self, build: Any, pointer: Any) -> Any:
        """Loads a vector of numbers as floats."""
        return emit.load(build, pointer, emit.FLOATS, self._bytes)

    def load_raw(self, build: Any, pointer: Any) -> Any:
        """Loads a vector of numbers as they lie in memory."""
        return emit.load(build, pointer, ir.VectorType(self._element, LANES), self._bytes)

    def load_words(self, build: Any, pointer: Any) -> Any:
        """Loads a vector of words."""
        return emit.load(build, pointer, emit.WORDS, self._bytes)

    def spread_word(self, build: Any, pointer: Any) -> Any:
        """Fills a vector with the word at an address."""
        return emit.spread(build, emit.load(build, pointer, emit.WORD, self._bytes))

    def words_of(self, build: Any, rows: Sequence[Any]) -> Any:
        """Makes words of as many raw vectors as a word holds numbers: one from each."""
        return build.bitcast(rows[0], emit.WORDS)

    def dot(self, build: Any, words: Any, others: Any, sums: Any) -> Any:
        """Adds the products of two vectors of words to sums, which are floats."""
        return emit.fma(build, build.bitcast(words, emit.FLOATS), build.bitcast(others, emit.FLOATS), sums)

    def first_sum(self, build: Any, bias: Any) -> Any:
        """Returns what a sum begins with."""
        return bias

    def sum_as_floats(self, build: Any, total: Any, scale: Any, bias: Any) -> Any:
        """Returns a sum as floats; where it is whole, times the scale and with the bias."""
        return total

    def store(self, build: Any, floats: Any, pointer: Any, streams: bool = False) -> None:
        """Writes a vector of floats; see `emit.store` for the last. What streams begins at a multiple of a vector."""
        emit.store(build, self.rounded(build, floats), pointer, self._bytes * (LANES if streams else 1), streams)

    def rounded(self, build: Any, floats: Any) -> Any:
        """Returns floats as they are written."""
        return floats

    def load_one(self, build: Any, pointer: Any) -> Any:
        """Loads a number as a float."""
        return build.load(pointer)

    def store_one(self, build: Any, value: Any, pointer: Any) -> None:
        """Writes a float as a number."""
        build.store(value, pointer)

    def round(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns values in the format, as the arrays hold them."""
        return values.astype(np.float32)

    def value(self, held: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns what the numbers in an array stand for."""
        return held.view(np.float32)

    def rounded_values(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Returns what values are in the format."""
        return self.value(self.round(values)).astype(np.float64)


class _BFloat(ir.types._BaseFloatType):  # llvmlite has none
    null = "0.0"
    intrinsic_name = "bf16"

    def __str__(self) -> str:
        return "bfloat"


_BFloat._create_instance()


class BFloat16(Format):
    """The upper half of a float32: its range, and a precision of 8 bits."""

    precision = "bf16"
    dtype = np.uint16
    depth = 2
    _element = ir.IntType(16)
    _bytes = 2
    _number = _BFloat()

    def load(self, build: Any, pointer: Any) -> Any:
        wide = build.zext(self.load_raw(build, pointer), emit.WORDS)
        return build.bitcast(build.shl(wide, ir.Constant(emit.WORDS, [16] * LANES)), emit.FLOATS)

    def words_of(self, build: Any, rows: Sequence[Any]) -> Any:
        return build.bitcast(emit.interleave(build, *rows), emit.WORDS)

    def dot(self, build: Any, words: Any, others: Any, sums: Any) -> Any:
        pairs = ir.VectorType(self._number, 2 * LANES)
        name = "llvm.aarch64.neon.bfdot.v4f32.v8bf16" if IS_ARM else "llvm.x86.avx512bf16.dpbf16ps.512"
        return emit.call(build, name, emit.FLOATS, sums, build.bitcast(words, pairs), build.bitcast(others, pairs))

    def rounded(self, build: Any, floats: Any) -> Any:
        return build.fptrunc(floats, ir.VectorType(self._number, LANES))

    def load_one(self, build: Any, pointer: Any) -> Any:
        wide = build.shl(build.zext(build.load(pointer), emit.WORD), emit.WORD(16))
        return build.bitcast(wide, emit.FLOAT)

    def store_one(self, build: Any, value: Any, pointer: Any) -> None:
        build.store(build.bitcast(build.fptrunc(value, self._number), self._element), pointer)

    def round(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)  # to the nearest, of two the even one

    def value(self, held: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return (held.astype(np.uint32) << 16).view(np.float32)


class Int8(Format):
    """The inputs of a product as levels, and its weights as whole numbers from -127 to 127. Nothing else has such numbers."""

    precision = "int8"
    dtype = np.uint8
    weights_dtype: npt.DTypeLike = np.int8
    depth = 4
    _element = ir.IntType(8)
    _bytes = 1

    def dot(self, build: Any, words: Any, others: Any, sums: Any) -> Any:
        fours = ir.VectorType(self._element, 4 * LANES)
        if (name := processor.dot_of_four()) is not None:
            return emit.call(build, name, emit.WORDS, sums, build.bitcast(words, fours), build.bitcast(others, fours))
        for place in range(4):  # in several instructions; the sums are the same, for nothing is ever rounded or too large
            level = _byte(build, words, place, build.ashr if LOWEST_LEVEL < 0 else build.lshr)
            sums = build.add(sums, build.mul(level, _byte(build, others, place, build.ashr)))
        return sums

    def first_sum(self, build: Any, bias: Any) -> Any:
        return ir.Constant(emit.WORDS, [0] * LANES)

    def sum_as_floats(self, build: Any, total: Any, scale: Any, bias: Any) -> Any:
        return emit.fma(build, build.sitofp(total, emit.FLOATS), scale, bias)


def _byte(build: Any, words: Any, place: int, shift_right: Any) -> Any:
    """Returns one of the four bytes of each word."""
    left, right = (ir.Constant(emit.WORDS, [bits] * LANES) for bits in (24 - 8 * place, 24))
    return shift_right(build.shl(words, left), right)


FLOAT32, INT8 = Format(), Int8()
FORMATS = {each.precision: each for each in (FLOAT32, BFloat16())}  # of activations
_BY_TYPE: dict[Any, Format] = {types.float32: FLOAT32, types.uint16: FORMATS["bf16"], types.uint8: INT8, types.int8: INT8}


def format_in(precision: str) -> Format:
    """Returns the format of activations in a precision."""
    return FORMATS[processor.beside_int8() if precision == "int8" else precision]


def format_of(holder: Any) -> Format:
    """Returns the format of what an array or a pointer, by its Numba type, holds."""
    return _BY_TYPE[holder.dtype]
