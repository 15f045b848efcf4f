"""A network as few steps that are compiled for this processor, for frames in float32.

What engines made for all networks do layer by layer is done here block by block: of an inverted residual, only its input and
its output (or, where a gate must wait for all of it, the depthwise convolution's) are ever written to memory, and a gate costs
nothing but the multiplication of the projection's weights. Data have one layout, channels last, from the frame's bytes
to the scores.

    program   from weights to steps
    packing   where weights and maps lie
    cutting   how large a step's tasks are
    kernels   the steps, and how threads share them
    products  matrix products and depthwise convolutions of rows
    vectors   their innermost loops, as LLVM instructions
"""
