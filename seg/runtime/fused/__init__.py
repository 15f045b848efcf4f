"""Runs a network in a few steps that are compiled for this processor, in float32, bfloat16 or int8.

General engines compute layer by layer; here it is done block by block. Of an inverted residual, only the input and the
output are ever written to memory (if a gate must wait for the whole depthwise convolution, also that convolution's output). A
gate costs only the multiplication of the projection's weights. All data have one layout, channels last, from the frame's
bytes to the scores.

    program    from weights to steps
        packing    where weights and activation maps lie
        cutting    how large a step's tasks are
        kernels    the steps, where their values lie, and how threads share them
        products   matrix products and depthwise convolutions of rows
        vectors    their innermost loops, tile by tile, as LLVM instructions
        tiles      products on tiles of the processor's own, where it has them
        emit       helpers for writing these instructions
        formats    how the numbers of a precision lie in memory, and how they are multiplied
        processor  how wide this processor's vectors are, and which precisions it supports
"""
