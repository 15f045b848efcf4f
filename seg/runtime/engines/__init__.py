"""What runs the network: OpenVINO, our own, onnxruntime, or torch as the reference, in the precisions that each has.

    table        all engines, and what each needs and can do: the one place where they are named
    make         makes the engine of a cell, as a pair of engine and precision is called here
    model_files  which file a cell runs, and whether it is of these weights
    candidates   the cells that "auto" has to choose among

Each engine is a module of its own, imported when it is asked for. How to add one: docs/engines.md.
"""
