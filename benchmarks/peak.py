"""The peak speed of this machine, measured: multiply-adds per second of a large matrix product, in any precision.

A network's multiply-adds divided by it give the shortest possible time of the network; how much longer it really takes shows how
far the engine is from the machine's limit.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

_SIDE = 1024  # 4 MiB for a matrix: larger than the caches of a core, and long enough that starting threads doesn't matter
_RUNS = 20


def peak_gmacs(threads: int, precision: str = "fp32") -> float:
    """Returns 10^9 multiply-adds per second, the best of several products.

    In float32 torch multiplies; in bfloat16 and int8 OpenVINO does, because torch's int8 product isn't fast on all machines.

    Args:
        threads: number of threads. It is a setting of torch for the whole process; the old value is restored.
        precision: "fp32", "bf16" or "int8".
    """
    if precision != "fp32":
        product = _product(threads, precision)
        return _SIDE**3 / min(_product_s(product) for _ in range(_RUNS)) / 1e9

    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a, b = torch.rand(_SIDE, _SIDE), torch.rand(_SIDE, _SIDE)
        out = torch.empty(_SIDE, _SIDE)
        torch.mm(a, b, out=out)
        best_s = min(_timed(lambda: torch.mm(a, b, out=out)) for _ in range(_RUNS))
    finally:
        torch.set_num_threads(before)
    return _SIDE**3 / best_s / 1e9


def _product_s(request: Any) -> float:
    """Runs a product and returns the time of the product alone, without the conversions around it."""
    request.infer()
    return sum(layer.real_time.total_seconds() for layer in request.get_profiling_info() if layer.node_type == "Convolution")


def _product(threads: int, precision: str) -> Any:
    """Compiles a product in the form that is fastest in OpenVINO: a 1x1 convolution of `_SIDE` channels at as many positions."""
    import openvino as ov
    from openvino import opset13 as op

    from seg.runtime.engines.openvino_engine import core

    random = np.random.default_rng(0)
    image = op.parameter([1, _SIDE, 32, _SIDE // 32], np.float32)
    weights = op.constant(random.uniform(-1, 1, (_SIDE, _SIDE, 1, 1)).astype(np.float32))
    left, right = image, weights
    if precision == "int8":  # the quantisation levels make it int8
        ends = [np.float32(value) for value in (0, 1, 0, 1)]
        left = op.fake_quantize(image, *ends, 256)
        side = np.ones((_SIDE, 1, 1, 1), np.float32)
        right = op.fake_quantize(weights, -side, side, -side, side, 255)
    product = op.convolution(left, right, [1, 1], [0, 0], [0, 0], [1, 1])
    compiled = core().compile_model(ov.Model([op.result(product)], [image]), "CPU", {
        "INFERENCE_PRECISION_HINT": ov.Type.bf16 if precision == "bf16" else ov.Type.f32,
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "PERF_COUNT": True})
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(random.random((1, _SIDE, 32, _SIDE // 32), np.float32)))
    return request


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
