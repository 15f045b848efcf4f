"""The processor for which the loops are compiled: how wide its vectors are, and which precisions it can multiply.

Everything that depends on the processor is decided here, from the features for which Numba compiles. These are the machine's own,
or those that Numba's variables NUMBA_CPU_NAME and NUMBA_CPU_FEATURES set; so loops for another processor can be examined and
tested.
"""

import ctypes
import platform

import numba  # the whole package, and first: if two threads import parts of it at once, one finds them unfinished

# Numba uses these as a part of the keys of what it keeps on disk.
_TRIPLE, _, _FEATURES = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()
FEATURES = frozenset(name[1:] for name in _FEATURES.split(",") if name.startswith("+"))
IS_ARM = _TRIPLE.startswith(("aarch64", "arm64"))

LANES = 16 if "avx512f" in FEATURES else 8 if "avx" in FEATURES else 4  # 32-bit numbers in a vector
REGISTERS = 32 if IS_ARM or "avx512f" in FEATURES else 16  # vector registers


def _may_use_tiles() -> bool:
    """Returns whether products can run on tiles (AMX). On Linux a process must ask for such large registers before their use."""
    if not {"amx-tile", "amx-bf16", "amx-int8", "avx512bf16", "avx512f"} <= FEATURES or platform.system() != "Linux":
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18  # from Linux's asm/unistd_64.h, asm/prctl.h and asm/fpu/types.h
    return int(ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data)) == 0


TILES = _may_use_tiles()
LOWEST_LEVEL = -128 if IS_ARM else 0  # of a byte: Arm's dot product takes two signed factors, x86's one unsigned and one signed

# What each precision needs: the name of the processor's feature, and its makers' name.
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
    """Returns what the processor lacks for a precision, in its makers' words; None if nothing is missing."""
    feature, name = _needed(precision)
    return None if feature in FEATURES else name


def beside_int8() -> str:
    """Returns the precision for the parts that int8 leaves unchanged: the fastest other one."""
    return "fp32" if missing("bf16") else "bf16"


def dot_of_four() -> str | None:
    """Returns LLVM's name for adding the products of four neighbouring bytes to a word; None if the processor lacks it."""
    if _needed("int8")[0] not in FEATURES:
        return None
    return "llvm.aarch64.neon.sdot.v4i32.v16i8" if IS_ARM else f"llvm.x86.avx512.vpdpbusd.{32 * LANES}"
