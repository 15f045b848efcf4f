"""The engines that run the network: OpenVINO, our own, onnxruntime, or torch as the reference, each with its precisions.

    table        all engines, and what each needs and can do: the only place that names them all
    make         makes the engine of a cell; a cell is a pair of engine and precision
    model_files  which file a cell runs, and whether it belongs to the weights
    candidates   the cells among which "auto" chooses

Each engine is a module of its own, imported when it is asked for. How to add an engine: docs/engines.md.
"""
