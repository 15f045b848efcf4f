"""Exports to torch's own format, NAME.pt2: loaded by `torch.export.load` without this project's code."""

import copy
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seg.errors import SegError
from seg.export.compare import Frame, Runner, to_images
from seg.export.onnx_export import Exported, check_size_is_fixed
from seg.export.options import ExportOptions
from seg.files import atomic_write
from seg.models import SegmentationNetwork


class Pt2File:
    """A torch export that is being made; see `seg.export.exporter.Artifact`.

    Raises:
        SegError: the network needs a fixed size.
    """

    def __init__(self, model: SegmentationNetwork, options: ExportOptions) -> None:
        check_size_is_fixed(model, options.size_hw)
        if options.precision == "bf16":
            model = _in_bfloat16(model)
        any_size = torch.export.Dim.AUTO
        axes = {0: any_size} if options.size_hw else {0: any_size, 2: any_size, 3: any_size}
        height, width = options.size_hw or (96, 160)
        images = torch.zeros(2, 3, height, width, dtype=torch.uint8)  # torch would take a batch of one for a constant
        try:
            exported = Exported(model, options.output).eval()
            self._program = torch.export.export(exported, (images,), dynamic_shapes={"images": axes})
        except (RuntimeError, torch._dynamo.exc.Unsupported) as error:
            raise SegError(f"torch.export can't follow this network: {_first_line(error)}. Choose another --format.") from None

    def runners(self) -> Sequence[Runner]:
        return (_Pt2Runner(self._saved({})),)

    def write(self, path: Path, metadata: dict[str, str]) -> None:
        data = self._saved(metadata)
        with atomic_write(path) as file:
            file.write(data)

    def _saved(self, metadata: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        torch.export.save(self._program, buffer, extra_files=metadata)
        return buffer.getvalue()


class _Pt2Runner:
    """Runs a saved export as any user of it would."""

    name = "torch.export"

    def __init__(self, saved: bytes) -> None:
        self._network = torch.export.load(io.BytesIO(saved)).module()

    def logits(self, frame_bgr: Frame) -> npt.NDArray[np.generic]:
        try:
            with torch.inference_mode():
                given: npt.NDArray[np.generic] = self._network(torch.from_numpy(to_images(frame_bgr)))[0].numpy()
        except (AssertionError, RuntimeError) as error:
            height, width = frame_bgr.shape[:2]
            raise SegError(f"torch.export makes one of it that takes no frame of {height}x{width} ({_first_line(error)}). "
                           "Fix the size: --size HxW") from None
        return given


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


def _in_bfloat16(model: SegmentationNetwork) -> SegmentationNetwork:
    """Returns a copy with weights in bfloat16; images are still normalised, and scores computed, in float32."""
    mean, std = model._mean_255, model._std_255
    model = copy.deepcopy(model).to(torch.bfloat16)
    model._mean_255, model._std_255 = mean, std
    return model
