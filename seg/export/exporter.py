"""Exports a weights file to any of the formats. An export is named only after a comparison with the network on frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from seg.export.compare import Runner, compare, made_up_frames, read_frames
from seg.export.onnx_export import OnnxFile, metadata, trace
from seg.export.options import ExportOptions
from seg.files import check_writable_folder
from seg.models import load
from seg.weights import Export, find, sha256


class Artifact(Protocol):
    """An export that is made but not yet written."""

    def runners(self) -> Sequence[Runner]:
        """Returns what runs the export exactly as the file will hold it, for the comparison."""
        ...

    def write(self, path: Path, metadata: dict[str, str]) -> None:
        """Writes it atomically, with these texts in its metadata.

        Raises:
            SegError: it can't be written.
        """
        ...


def export_weights(weights: str | Path, path: str | Path | None = None,
                   options: ExportOptions | None = None) -> tuple[Path, Export]:
    """Exports shipped weights by name, or a .safetensors file.

    Args:
        weights: name or file.
        path: of the export; by default next to the weights, see `ExportOptions.file`.
        options: ONNX in float32 that takes any size and gives scores, by default.

    Returns:
        The file, and what it says of itself.

    Raises:
        SegError: there are no such weights, the network can't be exported in this way, or its export computes something else.
    """
    options = options or ExportOptions()
    source = find(weights)
    path = Path(path) if path is not None else options.file(source)
    options.check_file(path)
    check_writable_folder(path.parent)
    model = load(source)
    frames = made_up_frames((options.size_hw,)) if options.size_hw else made_up_frames()
    kept: tuple[str, ...] = ()
    calibration_frames = 0
    artifact: Artifact
    # Each format is imported only when it is used, because each needs other packages.
    if options.format == "pt2":
        from seg.export.pt2_export import Pt2File

        artifact = Pt2File(model, options)
    else:
        network = trace(model, options)
        if options.precision == "int8":
            from seg.export.quantize import quantize

            network, kept, calibration_frames, held_out = quantize(model, network, options)
            frames = read_frames(held_out, options.size_hw, model)
        if options.format == "openvino":
            from seg.export.openvino_export import OpenVINOFiles

            artifact = OpenVINOFiles(network)
        else:
            artifact = OnnxFile(network)
    comparison = compare(model, artifact.runners(), frames, options.output)
    comparison.check(options.precision)
    export = Export(options.precision, options.output, options.size_hw, comparison.largest_difference,
                    comparison.agreement, comparison.compared_frames, comparison.engines, sha256(source), kept,
                    calibration_frames)
    artifact.write(path, metadata(model.description, export))
    return path, export
