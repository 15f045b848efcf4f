"""Prints the instructions to which an int8 dot product is compiled: `python fused_assembly.py TRIPLE CPU FEATURES`.

It runs in a separate process, because the vector width is fixed when the package is imported.
"""

import sys

import llvmlite.binding as llvm
from llvmlite import ir

from seg import instructions
from seg.runtime.fused import processor


def main(triple: str, cpu: str, features: str) -> None:
    names = frozenset(name.removeprefix("+") for name in features.split(","))
    if triple.startswith("aarch64"):  # for x86 the environment says it, as Numba's own variables do; a foreign machine nobody can
        processor.IS_ARM, processor.LANES, processor.LOWEST_LEVEL, processor.FEATURES = True, 4, -128, names
    from seg.runtime.fused import emit
    from seg.runtime.fused.formats import INT8

    assert names == processor.FEATURES
    module, byte = ir.Module(), ir.IntType(8).as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [byte, byte, instructions.WORD.as_pointer()]), "dot")
    build = ir.IRBuilder(function.append_basic_block())
    levels, weights, sums = function.args
    words, others = INT8.spread_word(build, levels), INT8.load_words(build, weights)
    instructions.store(build, INT8.dot(build, words, others, instructions.load(build, sums, emit.WORDS, 4)), sums, 4)
    build.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=3)
    print(processor.missing("int8"))
    print(machine.emit_assembly(llvm.parse_assembly(str(module))))


if __name__ == "__main__":
    main(*sys.argv[1:])
