"""What a frame takes of the machine's memory, so that one too large is refused before the work."""

from seg.errors import SegError
from seg.machine import available_memory_bytes

# What a frame takes at its peak, measured with the larger of the shipped networks and rounded up: float32 activations,
# the widest of them at half resolution. OpenVINO reuses memory best.
_BYTES_PER_PIXEL = {"openvino": 80, "fused": 100, "onnxruntime": 280, "torch": 280}


def check_memory(size_hw: tuple[int, int], engine: str) -> None:
    """Refuses a size that would drive the machine out of memory.

    Raises:
        SegError: it would.
    """
    needed = size_hw[0] * size_hw[1] * _BYTES_PER_PIXEL.get(engine, max(_BYTES_PER_PIXEL.values()))
    available = available_memory_bytes()
    if available is not None and needed > available:
        raise SegError(f"At {size_hw[0]}x{size_hw[1]} the network needs about {needed / 2**30:.1f} GiB and "
                       f"{available / 2**30:.1f} GiB are free. Give a smaller size to run at.")
