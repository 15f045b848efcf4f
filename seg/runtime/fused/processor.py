"""The processor that the loops are compiled for: how wide its vectors are, and what it multiplies at once.

All that depends on the processor is decided here, from the features that Numba compiles for. Those are the machine's own, or
what Numba's variables NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say: so loops for another processor can be looked at and tested.
"""

import numba  # whole, and first: of two threads that import parts of it at once, one finds them half done

# Numba keys by these what it keeps on disk.
_TRIPLE, _, _FEATURES = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()
FEATURES = frozenset(name[1:] for name in _FEATURES.split(",") if name.startswith("+"))
IS_ARM = _TRIPLE.startswith(("aarch64", "arm64"))

LANES = 16 if "avx512f" in FEATURES else 8 if "avx" in FEATURES else 4  # 32-bit numbers in a vector
REGISTERS = 32 if IS_ARM or "avx512f" in FEATURES else 16  # that hold a vector

LOWEST_LEVEL = -128 if IS_ARM else 0  # of a byte: Arm's dot product takes two signed factors, x86's one that isn't

# What each precision needs, as the processor calls it and as its makers do.
_NEEDED = {
    "fp32": ("fma", "FMA"),
    "bf16": ("avx512bf16", "bfloat16 (AVX-512 BF16)"),
    "int8": ("avx512vnni" if LANES == 16 else "avxvnni", "8-bit dot product (AVX-512 VNNI, AVX-VNNI)"),
}
_NEEDED_ON_ARM = {
    "fp32": ("neon", "Advanced SIMD"),
    "bf16": ("bf16", "bfloat16 (BF16)"),
    "int8": ("dotprod", "8-bit dot product (DotProd)"),
}


def _needed(precision: str) -> tuple[str, str]:
    return (_NEEDED_ON_ARM if IS_ARM else _NEEDED)[precision]


def missing(precision: str) -> str | None:
    """Returns what the processor lacks for a precision, as its makers call it; None if nothing."""
    feature, name = _needed(precision)
    return None if feature in FEATURES else name


def beside_int8() -> str:
    """Returns the precision of what int8 leaves as it is: the fastest other one."""
    return "fp32" if missing("bf16") else "bf16"


def dot_of_four() -> str | None:
    """Returns LLVM's name of what adds the products of four neighbouring bytes to a word; None where the processor lacks it."""
    if _needed("int8")[0] not in FEATURES:
        return None
    return "llvm.aarch64.neon.sdot.v4i32.v16i8" if IS_ARM else f"llvm.x86.avx512.vpdpbusd.{32 * LANES}"
