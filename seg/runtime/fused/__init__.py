"""A network as few steps that are compiled for this processor, in float32, bfloat16 or int8.

What engines made for all networks do layer by layer is done here block by block: of an inverted residual, only its input and
its output (or, where a gate must wait for all of it, the depthwise convolution's) are ever written to memory, and a gate costs
nothing but the multiplication of the projection's weights. Data have one layout, channels last, from the frame's bytes
to the scores.

    program    from weights to steps
    packing    where weights and maps lie
    cutting    how large a step's tasks are
    kernels    the steps, where their values lie, and how threads share them
    products   matrix products and depthwise convolutions of rows
    vectors    their innermost loops, tile by tile, as LLVM instructions
    emit       what those are written with
    formats    how numbers of a precision lie in memory, and are multiplied
    processor  how wide this processor's vectors are, and which precisions it has
"""
