"""The network through torch itself: the reference that the other engines are compared with.

`seg.runtime` imports it by name, and only when it is asked for.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seg.models import SegmentationNetwork, load
from seg.runtime.cache import Cache
from seg.runtime.once import timed
from seg.runtime.protocol import check_precision


class TorchEngine:
    """See `seg.runtime.protocol.Engine`.

    Args:
        model: a safetensors file, or a network.
        threads: how many torch may use; this applies to the whole process.
        precision: "fp32" or None.
        cache: not used; torch compiles nothing here.

    Raises:
        SegError: the file can't be read, or `precision` has another value.
    """

    name = "torch"
    precision = "fp32"
    fixed_size_hw = None

    def __init__(self, model: Path | SegmentationNetwork, threads: int, *, precision: str | None = None,
                 cache: Cache | None = None) -> None:
        check_precision(self.name, precision, self.precision)
        torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        self.first_call_ms: dict[str, float] = {}
        with timed(self.first_call_ms, "read"):
            self._model = (load(model) if isinstance(model, Path) else model).eval()

    def logits(self, frame_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Maps a (H, W, 3) frame to scores (C, h, w), see `Engine`."""
        images = torch.from_numpy(np.ascontiguousarray(frame_bgr[:, :, ::-1].transpose(2, 0, 1)))[None]
        with torch.inference_mode():
            return self._model.logits(images)[0].numpy()
