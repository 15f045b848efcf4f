"""How numbers lie in memory in each precision, and how the processor multiplies them.

A loop that reads or writes activations is written once. While Numba compiles it, it finds the format of the activations from the
type of their array: float32, or uint16 for bfloat16. Sums, biases and all arithmetic except products are float32 in both.

Products read words of 32 bits: one value in float32, two neighbours in bfloat16, four in int8 (`Format.depth`). One instruction
multiplies the words of one vector by those of another, and adds the products of each word to that word's sum. In int8 only
products are computed: before a product, numbers become levels, of which there are 256; after it, integer sums become floats.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from seg import instructions
from seg.instructions import WORD
from seg.runtime.fused import emit, processor
from seg.runtime.fused.processor import IS_ARM, LANES, LOWEST_LEVEL


class Format:
    """Float32, and the base class of the other formats.

    Attributes:
        precision: its name.
        dtype: type of arrays in this format.
        depth: how many numbers a word holds.
        tiled: whether this processor multiplies such numbers tile by tile, see `tiles`.
        tile_dot: LLVM's name for that; empty for a format that is never multiplied so.
        starts_with_bias: whether a sum begins with the bias; an integer sum begins at 0.
    """

    precision = "fp32"
    dtype: npt.DTypeLike = np.float32
    depth = 1
    tiled = False
    tile_dot = ""
    starts_with_bias = True
    _element: Any = emit.FLOAT
    _bytes = 4

    def load(self, build: Any, pointer: Any) -> Any:
        """Loads a vector of numbers as floats."""
        return instructions.load(build, pointer, emit.FLOATS, self._bytes)

    def load_raw(self, build: Any, pointer: Any) -> Any:
        """Loads a vector of numbers in the form that they have in memory."""
        return instructions.load(build, pointer, ir.VectorType(self._element, LANES), self._bytes)

    def load_words(self, build: Any, pointer: Any) -> Any:
        """Loads a vector of words."""
        return instructions.load(build, pointer, emit.WORDS, self._bytes)

    def spread_word(self, build: Any, pointer: Any) -> Any:
        """Fills a vector with the word at an address."""
        return emit.spread(build, instructions.load(build, pointer, WORD, self._bytes))

    def words_of(self, build: Any, rows: Sequence[Any]) -> Any:
        """Combines raw vectors, as many as a word holds numbers, into words with one number from each."""
        return build.bitcast(rows[0], emit.WORDS)

    def dot(self, build: Any, words: Any, others: Any, sums: Any) -> Any:
        """Multiplies two vectors of words and adds the products to the sums; in int8 the sums are integers, otherwise floats."""
        return emit.fma(build, build.bitcast(words, emit.FLOATS), build.bitcast(others, emit.FLOATS), sums)

    def first_sum(self, build: Any, bias: Any) -> Any:
        """Returns the initial value of a sum."""
        return bias

    def load_sums(self, build: Any, pointer: Any) -> Any:
        """Loads a vector of sums."""
        return instructions.load(build, pointer, emit.FLOATS, 4)

    def sum_as_floats(self, build: Any, total: Any, scale: Any, bias: Any) -> Any:
        """Returns a sum as floats; an integer sum is multiplied by the scale, and then the bias is added."""
        return total

    def store(self, build: Any, floats: Any, pointer: Any, streams: bool = False) -> None:
        """Writes a vector of floats. With `streams` (see `instructions.store`) the address is a multiple of a vector's size."""
        instructions.store(build, self.rounded(build, floats), pointer, self._bytes * (LANES if streams else 1), streams)

    def rounded(self, build: Any, floats: Any) -> Any:
        """Returns the floats rounded to the format."""
        return floats

    def load_one(self, build: Any, pointer: Any) -> Any:
        """Loads a number as a float."""
        return build.load(pointer)

    def store_one(self, build: Any, value: Any, pointer: Any) -> None:
        """Writes a float as a number."""
        build.store(value, pointer)

    def round(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the values in the format, in the type of its arrays."""
        return values.astype(np.float32)

    def value(self, held: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns the values of the numbers in an array."""
        return held.view(np.float32)

    def rounded_values(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Returns the values rounded to the format."""
        return self.value(self.round(values)).astype(np.float64)


class _BFloat(ir.types._BaseFloatType):  # llvmlite has no such type
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
    tiled = processor.TILES
    tile_dot = "llvm.x86.tdpbf16ps"
    _element = ir.IntType(16)
    _bytes = 2
    _number = _BFloat()

    def load(self, build: Any, pointer: Any) -> Any:
        wide = build.zext(self.load_raw(build, pointer), emit.WORDS)
        return build.bitcast(build.shl(wide, ir.Constant(emit.WORDS, [16] * LANES)), emit.FLOATS)

    def words_of(self, build: Any, rows: Sequence[Any]) -> Any:
        return build.bitcast(instructions.interleave(build, *rows), emit.WORDS)

    def dot(self, build: Any, words: Any, others: Any, sums: Any) -> Any:
        pairs = ir.VectorType(self._number, 2 * LANES)
        name = "llvm.aarch64.neon.bfdot.v4f32.v8bf16" if IS_ARM else "llvm.x86.avx512bf16.dpbf16ps.512"
        return emit.call(build, name, emit.FLOATS, sums, build.bitcast(words, pairs), build.bitcast(others, pairs))

    def rounded(self, build: Any, floats: Any) -> Any:
        return build.fptrunc(floats, ir.VectorType(self._number, LANES))

    def load_one(self, build: Any, pointer: Any) -> Any:
        wide = build.shl(build.zext(build.load(pointer), WORD), WORD(16))
        return build.bitcast(wide, emit.FLOAT)

    def store_one(self, build: Any, value: Any, pointer: Any) -> None:
        build.store(build.bitcast(build.fptrunc(value, self._number), self._element), pointer)

    def round(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)  # to nearest, ties to even

    def value(self, held: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return (held.astype(np.uint32) << 16).view(np.float32)


class Int8(Format):
    """The inputs of a product as levels, and its weights as integers from -127 to 127. Only products use these numbers."""

    precision = "int8"
    dtype = np.uint8
    weights_dtype: npt.DTypeLike = np.int8
    depth = 4
    tiled = processor.TILES
    tile_dot = "llvm.x86.tdpbusd"
    starts_with_bias = False
    _element = ir.IntType(8)
    _bytes = 1

    def dot(self, build: Any, words: Any, others: Any, sums: Any) -> Any:
        fours = ir.VectorType(self._element, 4 * LANES)
        if (name := processor.dot_of_four()) is not None:
            return emit.call(build, name, emit.WORDS, sums, build.bitcast(words, fours), build.bitcast(others, fours))
        for place in range(4):  # more instructions, the same sums: nothing is rounded or overflows
            level = _byte(build, words, place, build.ashr if LOWEST_LEVEL < 0 else build.lshr)
            sums = build.add(sums, build.mul(level, _byte(build, others, place, build.ashr)))
        return sums

    def first_sum(self, build: Any, bias: Any) -> Any:
        return ir.Constant(emit.WORDS, [0] * LANES)

    def load_sums(self, build: Any, pointer: Any) -> Any:
        return instructions.load(build, pointer, emit.WORDS, 4)

    def sum_as_floats(self, build: Any, total: Any, scale: Any, bias: Any) -> Any:
        return emit.fma(build, build.sitofp(total, emit.FLOATS), scale, bias)


def _byte(build: Any, words: Any, place: int, shift_right: Any) -> Any:
    """Returns one of the four bytes of each word."""
    left, right = (ir.Constant(emit.WORDS, [bits] * LANES) for bits in (24 - 8 * place, 24))
    return shift_right(build.shl(words, left), right)


FLOAT32, INT8 = Format(), Int8()
FORMATS = {each.precision: each for each in (FLOAT32, BFloat16())}  # the formats of activations
_BY_TYPE: dict[Any, Format] = {types.float32: FLOAT32, types.uint16: FORMATS["bf16"], types.uint8: INT8, types.int8: INT8}


def format_in(precision: str) -> Format:
    """Returns the format of activations in a precision."""
    return FORMATS[processor.beside_int8() if precision == "int8" else precision]


def expanded_format_in(precision: str) -> Format:
    """Returns the format of expanded rows, which stay in the cache, in a precision.

    With tiles it is float32: processors with tiles multiply vectors of bfloat16 no faster than vectors of float32, so bfloat16
    would only make depthwise convolutions slower.
    """
    return FLOAT32 if processor.TILES else format_in(precision)


def format_of(holder: Any) -> Format:
    """Returns the format of the elements of an array or pointer, found from its Numba type."""
    return _BY_TYPE[holder.dtype]
