"""A network to OpenVINO's own format, NAME.xml with NAME.bin: read from ONNX, weights as they are, description inside."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino as ov
import torch

from seg.errors import SegError
from seg.export.compare import Runner
from seg.files import publish
from seg.runtime.engines.openvino_engine import OpenVINOEngine


class OpenVINOFiles:
    """The two files in the making; see `seg.export.exporter.Artifact`.

    Args:
        exported: the network as ONNX.
    """

    def __init__(self, exported: bytes) -> None:
        self._model = ov.Core().read_model(exported)

    def runners(self) -> Sequence[Runner]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "network.xml"
            self._save(path)
            return (OpenVINOEngine(path, torch.get_num_threads()),)

    def write(self, path: Path, metadata: dict[str, str]) -> None:
        for key, text in metadata.items():
            self._model.set_rt_info(text, key)
        try:
            with TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder:
                saved = Path(folder) / path.name
                self._save(saved)
                for suffix in (".bin", ".xml"):  # the network comes last: what has its name has its weights, too
                    publish(saved.with_suffix(suffix), path.with_suffix(suffix))
        except OSError as error:
            raise SegError(f"Can't write {path}: {error.strerror or error}.") from None

    def _save(self, path: Path) -> None:
        ov.save_model(self._model, path, compress_to_fp16=False)  # halved by default; float32 is to mean float32
