"""What users would pick instead: each maps a uint8 BGR frame to a uint8 label map of its size, as its documentation recommends.

Weights are random, because they don't influence the time; every network has the same number of classes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Frame = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]
Label = Callable[[Frame], Labels]


def torchvision_network(classes: int) -> Any:
    """Returns torchvision's LR-ASPP, which upsamples to the frame's size itself."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes).eval()


def smp_network(kind: str, encoder: str, classes: int) -> Any:
    """Returns a network of segmentation_models_pytorch whose scores have the frame's size."""
    import segmentation_models_pytorch as smp

    return getattr(smp, kind)(encoder, encoder_weights=None, classes=classes).eval()


def in_torch(network: Any, threads: int, *, channels_last: bool = False, compiled: bool = False,
             scores: Callable[[Any], Any] = lambda given: given) -> Label:
    """Returns a function that runs a network in torch.

    Args:
        network: takes normalised float32 RGB (N, 3, H, W).
        threads: how many threads torch may use; a setting of the whole process.
        channels_last: the memory layout that torch recommends for convolutions on a CPU.
        compiled: whether to use `torch.compile`.
        scores: extracts the scores from the network's output.
    """
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    if compiled:
        torch._dynamo.reset()  # otherwise a network stays compiled for another number of threads
        network = torch.compile(network)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))

    def run(frame_bgr: Frame) -> Labels:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            image = torch.from_numpy(cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB))
            images = (image.permute(2, 0, 1)[None].float() / 255 - mean) / std
            labels = scores(network(images.contiguous(memory_format=layout))).argmax(1)[0]
            return np.asarray(labels.to(torch.uint8).numpy())

    return run


def export_torchvision(path: Path, size_hw: tuple[int, int], classes: int) -> None:
    """Writes torchvision's LR-ASPP as ONNX for one frame size: normalised RGB in, labels out."""
    import warnings

    import torch

    class Labels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = torchvision_network(classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images)["out"].argmax(1).to(torch.uint8)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Labels().eval(), (torch.zeros(1, 3, *size_hw),), str(path), input_names=["images"],
                          output_names=["labels"], opset_version=17, dynamo=False)


def in_onnxruntime(path: Path, threads: int) -> Label:
    """Returns a function that runs such an ONNX file."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    scale = np.array([1 / (255 * value) for value in STD], np.float32)
    shift = np.array([-mean / std for mean, std in zip(MEAN, STD, strict=True)], np.float32)
    cv2.setNumThreads(threads)

    def run(frame_bgr: Frame) -> Labels:
        image = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB) * scale + shift
        images = np.ascontiguousarray(image.transpose(2, 0, 1))[None]
        return np.asarray(session.run(None, {"images": images})[0][0])

    return run


def plain_openvino(path: Path, threads: int, precision: str) -> Label:
    """Returns a function that runs one of our exports in OpenVINO alone, with interpolation and argmax in the graph.

    Everything else is as in `seg.runtime`: BGR frames as input, one stream, the same number of threads.

    Args:
        path: an ONNX file that gives scores, for one frame size.
        threads: how many threads OpenVINO may use.
        precision: "bf16" computes float32 layers in bfloat16; int8 is part of the file.
    """
    import openvino as ov
    from openvino import opset13 as op
    from openvino.preprocess import ColorFormat, PrePostProcessor

    from seg.runtime.engines.openvino_engine import core

    model = core().read_model(path)
    model.reshape([1, *list(model.input().get_partial_shape())[1:]])
    height, width = list(model.input().get_shape())[2:]
    scores = model.get_results()[0].input_value(0)
    large = op.interpolate(scores, np.array([height, width], np.int64), "linear_onnx", "sizes",
                           coordinate_transformation_mode="half_pixel", axes=np.array([2, 3], np.int64))
    best = op.topk(large, np.int64(1), 1, "max", "none", index_element_type="i32")
    labels = op.convert(op.squeeze(best.output(1), np.int64(1)), "u8")
    steps = PrePostProcessor(ov.Model([op.result(labels)], model.get_parameters()))
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(ColorFormat.BGR)
    steps.input().preprocess().convert_color(ColorFormat.RGB)
    steps.input().model().set_layout(ov.Layout("NCHW"))
    compiled = core().compile_model(steps.build(), "CPU", {
        "INFERENCE_PRECISION_HINT": ov.Type.bf16 if precision == "bf16" else ov.Type.f32,
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False})
    request = compiled.create_infer_request()

    def run(frame_bgr: Frame) -> Labels:
        request.set_input_tensor(ov.Tensor(frame_bgr[None], shared_memory=True))
        request.infer()
        return np.asarray(request.get_output_tensor().data[0])

    return run
