"""A network in the form that OpenVINO compiles: for one frame size, with BGR frames as input, and cut in two for bfloat16.

bfloat16 has only eight bits, so scores of different classes can tie, and then their order decides the label. So the last
convolutions, which give the scores, and the sum of their results are compiled separately, in float32. The graph is cut
here, because hints that tell a plugin to keep layers in float32 work differently from version to version.
"""

import openvino as ov
from openvino.passes import ConstantFolding, Manager
from openvino.preprocess import ColorFormat, PrePostProcessor


def for_size(model: ov.Model, size_hw: tuple[int, int]) -> ov.Model:
    """Returns a copy that takes (1, H, W, 3) uint8 BGR; colour order and layout are part of it.

    Raises:
        RuntimeError: the network can't be computed at this size.
    """
    model = model.clone()
    model.reshape([1, 3, *size_hw])
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().tensor().set_color_format(ColorFormat.BGR)
    steps.input().preprocess().convert_color(ColorFormat.RGB)
    steps.input().model().set_layout(ov.Layout("NCHW"))
    return steps.build()


def split_scores(model: ov.Model) -> tuple[ov.Model, ov.Model]:
    """Cuts a network before its last convolutions: those that no other convolution follows.

    Args:
        model: a model with fixed shapes and one output; it is consumed.

    Returns:
        The part before the cut, and the part that gives the scores. Output i of the first is input i of the second.
    """
    folding = Manager()
    folding.register_pass(ConstantFolding())  # sizes that are computed from tensors would otherwise connect the two parts
    folding.run_passes(model)
    seen, waiting, cuts = set[str](), [model.get_results()[0]], []
    while waiting:
        node = waiting.pop()
        if node.get_name() in seen:
            continue
        seen.add(node.get_name())
        inputs = node.inputs()
        if node.get_type_name() in ("Convolution", "GroupConvolution"):
            cuts.append(inputs[0])
            inputs = inputs[1:]  # the weights, which may be computed by nodes, belong to the second part
        waiting += [each.get_source_output().get_node() for each in inputs]

    features, parameters = [], []
    for cut in cuts:
        source = cut.get_source_output()
        parameter = ov.op.Parameter(source.get_element_type(), source.get_partial_shape())
        cut.replace_source_output(parameter.output(0))
        features.append(source)
        parameters.append(parameter)
    return ov.Model(features, model.get_parameters(), "features"), ov.Model(model.get_results(), parameters, "scores")
