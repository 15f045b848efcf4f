"""A network as OpenVINO compiles it: for one frame size, fed with BGR frames as they are, and cut in two for bfloat16.

In bfloat16, with its eight bits, scores of different classes tie, and the label is then a matter of their order. So the last
convolutions, which give the scores, and what sums them up are compiled apart from the rest, in float32. They are cut off
here, in the graph: what a plugin keeps in float32 when it is told so changes from version to version.
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
    """Cuts a network before its last convolutions: those on which no other convolution follows.

    Args:
        model: with fixed shapes and one output; it is used up.

    Returns:
        What comes before, and what gives the scores. Output i of the first is input i of the second.
    """
    folding = Manager()
    folding.register_pass(ConstantFolding())  # sizes that were computed from tensors would tie the parts together
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
            inputs = inputs[1:]  # the weights, which may be computed, come along
        waiting += [each.get_source_output().get_node() for each in inputs]

    features, parameters = [], []
    for cut in cuts:
        source = cut.get_source_output()
        parameter = ov.op.Parameter(source.get_element_type(), source.get_partial_shape())
        cut.replace_source_output(parameter.output(0))
        features.append(source)
        parameters.append(parameter)
    return ov.Model(features, model.get_parameters(), "features"), ov.Model(model.get_results(), parameters, "scores")
