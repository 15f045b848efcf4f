"""Exports to OpenVINO's own format, NAME.xml with NAME.bin: read from ONNX, with unchanged weights and the description inside."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import openvino as ov
import torch

from seg.errors import SegError
from seg.export.compare import Frame, Runner, to_images
from seg.files import publish
from seg.runtime.engines.openvino_engine import core


class OpenVINOFiles:
    """The two files that are being made; see `seg.export.exporter.Artifact`.

    Args:
        exported: the network as ONNX.
    """

    def __init__(self, exported: bytes) -> None:
        self._model = core().read_model(exported)

    def runners(self) -> Sequence[Runner]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "network.xml"
            self._save(path)
            return (_Runner(path),)

    def write(self, path: Path, metadata: dict[str, str]) -> None:
        for key, text in metadata.items():
            self._model.set_rt_info(text, key)
        try:
            with TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder:
                saved = Path(folder) / path.name
                self._save(saved)
                for suffix in (".bin", ".xml"):  # the .xml comes last: when it exists, its weights exist too
                    publish(saved.with_suffix(suffix), path.with_suffix(suffix))
        except OSError as error:
            raise SegError(f"Can't write {path}: {error.strerror or error}.") from None

    def _save(self, path: Path) -> None:
        """Writes both files."""
        ov.save_model(self._model, path, compress_to_fp16=False)  # the default would save float16; here float32 must stay float32


class _Runner:
    """Runs the files as any user of them would."""

    name = "openvino"

    def __init__(self, path: Path) -> None:
        self._network = core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": ov.Type.f32,
                                                              "INFERENCE_NUM_THREADS": torch.get_num_threads()})

    def logits(self, frame_bgr: Frame) -> npt.NDArray[np.generic]:
        given: npt.NDArray[np.generic] = self._network(to_images(frame_bgr))[0][0]
        return given
