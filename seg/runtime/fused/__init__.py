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

The words of these modules:

    step    a part of the network, such as a block; its threads wait for each other only at its end
    task    a part of a step for one thread: a band of rows, and of a block also a strip of columns or a chunk of channels
    word    32 bits of inputs: one number in float32, two in bfloat16, four in int8
    run     the inputs that a product sums up in one iteration, some words; channels lie in memory in whole runs
    panel   the vectors of output channels that a product computes at once
    tile    the pixels times the panel whose sums stay in registers; in `tiles`, one of the registers that are tiles themselves
    level   an input in int8: one of the 256 that a byte counts; `whole` are the weights for it, whole numbers
    grid    the means of the decoder's pooling, one for each window
"""
