"""The files for `benchmarks.cpu`: networks of the paper with trained weights, their exports, and frames, in one folder.

The networks are the paper's Large and Small with Cityscapes' 19 classes, with the shipped CamVid weights inside. Trained
weights give label maps with areas and borders, which determine the time of the upsampling and whether int8 keeps the labels.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.cpu_others import export_torchvision
from seg.errors import SegError
from seg.export.exporter import export_weights
from seg.export.options import ExportOptions
from seg.files import find_images, read_image_bgr, write_image
from seg.label_sets import CITYSCAPES
from seg.models import load, save
from seg.models.network import SegmentationNetwork
from seg.models.paper import TABLE_7
from seg.weights import int8_file

NETWORKS = {"large": (TABLE_7[7], "camvid_large"), "small": (TABLE_7[10], "camvid_small")}
CLASSES = len(CITYSCAPES)
FRAMES = 15  # the first one is timed, all are used to calibrate int8
FRAME, TORCHVISION = "frame.npy", "torchvision.onnx"
_MARGIN = 1.0  # in scores, which are a few units apart

Size = tuple[int, int]
Done = Callable[[str], None]


def build(name: str) -> SegmentationNetwork:
    """Builds "large" or "small" with 19 classes. Those beyond the trained ones copy them with a lower score, and never win."""
    row, weights = NETWORKS[name]
    network, trained = row.build(), load(weights)
    classes = trained.arguments["classes"]
    repeated = torch.arange(CLASSES) % classes
    state = trained.state_dict()
    for key in network.classifier_names():
        state[key] = state[key][repeated]
        if key.endswith("bias"):
            state[key][classes:] -= _MARGIN
    network.load_state_dict(state)
    return network.eval()


def make(folder: Path, size_hw: Size, wanted: Collection[tuple[str, str | None]], pictures: Sequence[str | Path],
         done: Done) -> dict[str, str]:
    """Writes frames and the wanted networks: NAME.safetensors, NAME.onnx, NAME_int8.onnx.

    Args:
        folder: an empty folder.
        size_hw: size of the frames; the exports accept no other.
        wanted: networks of `NETWORKS`, or "torchvision", each with a precision.
        pictures: the frames are made from these, stretched to the size; if there are none, scenes are rendered.
        done: called after each step.

    Returns:
        By network, why int8 couldn't be made, if it failed.

    Raises:
        SegError: a picture can't be read, or a network can't be exported.
    """
    frames = folder / "frames"
    for index, frame in enumerate(_frames(size_hw, pictures)):
        if index == 0:
            np.save(folder / FRAME, frame)
        write_image(frames / f"{index:02}.png", frame)
    done("frames")
    failed: dict[str, str] = {}
    for name in (name for name in NETWORKS if (name, "fp32") in wanted):
        weights = folder / f"{name}.safetensors"
        save(build(name), weights, CITYSCAPES, size_hw)
        export_weights(weights, options=ExportOptions(size_hw=size_hw))
        done(f"exported {name}")
        if (name, "int8") not in wanted:
            continue
        try:
            export_weights(weights, int8_file(weights), ExportOptions(precision="int8", size_hw=size_hw, calibrate=[frames]))
        except (SegError, ModuleNotFoundError) as error:
            failed[name] = str(error)
        done(f"quantised {name}")
    if ("torchvision", "fp32") in wanted:
        export_torchvision(folder / TORCHVISION, size_hw, CLASSES)
        done("exported torchvision's")
    return failed


def _frames(size_hw: Size, pictures: Sequence[str | Path]) -> list[npt.NDArray[np.uint8]]:
    if not pictures:
        from datasets.scenes.catalog import catalog
        from datasets.scenes.renderer import Renderer
        from datasets.scenes.street import Street

        renderer = Renderer(catalog().library, size_hw)
        return [renderer.render(Street(catalog(), f"cpu {index}").scene()).bgr for index in range(FRAMES)]
    paths = [image.path for image in find_images(pictures)]
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(FRAMES, len(paths))).astype(int))
    return [np.asarray(cv2.resize(read_image_bgr(paths[i]), size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
            for i in chosen]
