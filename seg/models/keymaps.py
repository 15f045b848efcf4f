"""Names of the same tensors here, in torchvision and in timm.

| here | torchvision (V3) | timm (V3, V2) |
| --- | --- | --- |
| `stem.conv` `stem.norm` | `features.0.0` `.1` | `conv_stem` `bn1` |
| `blocks.I` | `features.(I+1).block` | `blocks.S.B`, counted through |
| `..expand.conv` `.norm` | `.0.0` `.0.1`, where there is an expansion | `.conv_pw` `.bn1` |
| `..depthwise.conv` `.norm` | next `.0` `.1` | `.conv_dw` and the next `bn` |
| `..squeeze_excite.reduce` `.expand` | next `.fc1` `.fc2` | `.se.conv_reduce` `.se.conv_expand` |
| `..project.conv` `.norm` | next `.0` `.1` | `.conv_pwl` (`.conv_pw` without expansion) and the next `bn` |
| `tail.conv` `.norm` | `features.(last).0` `.1` | `blocks.(last).0.conv` `.bn1` |
| `decoder.project.conv` `.norm` | `classifier.cbr.0` `.1` | |
| `decoder.attention` | `classifier.scale.1` | |
| `decoder.deep_classifier` | `classifier.high_classifier` | |
| `decoder.skip_classifier` | `classifier.low_classifier` | |

torchvision's V2 has `conv` instead of `block`, keeps `project` in `.N` and `.N+1`, and ends with a layer that doesn't exist here.
"""

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from seg.models.mobilenet import MobileNetEncoder


def _rename(state: dict[str, Tensor], modules: dict[str, str]) -> dict[str, Tensor]:
    """Renames `theirs.leaf` to `ours.leaf`; `modules` maps ours to theirs. What `modules` doesn't name is left out."""
    ours = {theirs: name for name, theirs in modules.items()}
    split = [(*key.rpartition("."), value) for key, value in state.items()]
    return {f"{ours[module]}.{leaf}": value for module, _, leaf, value in split if module in ours}


def encoder_from_torchvision(state: dict[str, Tensor], encoder: "MobileNetEncoder",
                             prefix: str = "features.") -> dict[str, Tensor]:
    """Renames the tensors of torchvision's MobileNetV3 or V2 to those of `encoder`."""
    modules = {"stem.conv": f"{prefix}0.0", "stem.norm": f"{prefix}0.1"}
    is_v2 = f"{prefix}1.conv.0.0.weight" in state
    for i, block in enumerate(encoder.blocks):
        ours, theirs, part = f"blocks.{i}", f"{prefix}{i + 1}.{'conv' if is_v2 else 'block'}", 0
        for name in ("expand", "depthwise", "squeeze_excite", "project"):
            if isinstance(getattr(block, name), nn.Identity):
                continue
            first, second = (".fc1", ".fc2") if name == "squeeze_excite" else (".0", ".1")
            leaves = ("reduce", "expand") if name == "squeeze_excite" else ("conv", "norm")
            modules |= {f"{ours}.{name}.{leaves[0]}": f"{theirs}.{part}{first}",
                        f"{ours}.{name}.{leaves[1]}": f"{theirs}.{part}{second}"}
            part += 1
        if is_v2:  # there the projection and its norm are next to the other parts, not in a part of their own
            modules |= {f"{ours}.project.conv": f"{theirs}.{part - 1}", f"{ours}.project.norm": f"{theirs}.{part}"}
    if is_v2:
        return _rename(state, modules)
    last = len(encoder.blocks) + 1
    return _rename(state, modules | {"tail.conv": f"{prefix}{last}.0", "tail.norm": f"{prefix}{last}.1"})


def lraspp_from_torchvision(state: dict[str, Tensor], encoder: "MobileNetEncoder") -> dict[str, Tensor]:
    """Renames the state dict of torchvision's `lraspp_mobilenet_v3_large` to that of `LRASPP.from_preset("torchvision")`."""
    encoder_state = encoder_from_torchvision(state, encoder, prefix="backbone.")
    decoder_state = _rename(state, {"decoder.project.conv": "classifier.cbr.0", "decoder.project.norm": "classifier.cbr.1",
                                    "decoder.attention": "classifier.scale.1",
                                    "decoder.deep_classifier": "classifier.high_classifier",
                                    "decoder.skip_classifier": "classifier.low_classifier"})
    return {f"encoder.{key}": value for key, value in encoder_state.items()} | decoder_state


def encoder_from_timm(state: dict[str, Tensor], encoder: "MobileNetEncoder") -> dict[str, Tensor]:
    """Renames the tensors of timm's `mobilenetv3_*` and `mobilenetv2_*` to those of `encoder`; the classifier's are left out."""
    names = {tuple(key.split(".")[1:3]) for key in state if key.startswith("blocks.")}
    stages = sorted(names, key=lambda stage_block: tuple(map(int, stage_block)))
    modules = {"stem.conv": "conv_stem", "stem.norm": "bn1"}
    for i, (block, (s, b)) in enumerate(zip(encoder.blocks, stages, strict=False)):
        ours, theirs = f"blocks.{i}", f"blocks.{s}.{b}"
        expands = not isinstance(block.expand, nn.Identity)
        if expands:
            modules |= {f"{ours}.expand.conv": f"{theirs}.conv_pw", f"{ours}.expand.norm": f"{theirs}.bn1"}
        modules |= {f"{ours}.depthwise.conv": f"{theirs}.conv_dw", f"{ours}.depthwise.norm": f"{theirs}.bn{1 + expands}",
                    f"{ours}.squeeze_excite.reduce": f"{theirs}.se.conv_reduce",
                    f"{ours}.squeeze_excite.expand": f"{theirs}.se.conv_expand",
                    f"{ours}.project.conv": f"{theirs}.conv_pwl" if expands else f"{theirs}.conv_pw",
                    f"{ours}.project.norm": f"{theirs}.bn{2 + expands}"}
    if stages and not isinstance(encoder.tail, nn.Identity):
        modules |= {"tail.conv": f"blocks.{stages[-1][0]}.0.conv", "tail.norm": f"blocks.{stages[-1][0]}.0.bn1"}
    return _rename(state, modules)
