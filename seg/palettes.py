"""Colours of classes that people with colour blindness for red, green or blue can tell apart, too.

Okabe and Ito's seven colours (*Color Universal Design*, 2008) come first; each further one is the colour that is farthest
from all before it, for the kind of sight that confuses it most. Sight without one kind of cone is simulated as in Machado,
Oliveira and Fernandes (2009); distances are those of OKLab (Ottosson, 2020).
"""

from dataclasses import replace
from functools import cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from seg.label_sets import Color, LabelSet

Name = Literal["own", "colorblind"]
NAMES: tuple[Name, ...] = get_args(Name)

_OKABE_ITO = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_SIGHTS = np.array([  # linear RGB -> what is seen, at severity 1: without long, medium, short cones
    np.eye(3),
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
])
_TO_LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                    [0.0883024619, 0.2817188376, 0.6299787005]])
_TO_LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                    [0.0259040371, 0.7827717662, -0.8086757660]])
_LEVELS = np.linspace(0, 255, 12).round()  # of each channel, for the choice of further colours
_DARKEST = 0.35  # OKLab's lightness: on a dark street darker ones are hard to tell from no colour


def recolored(label_set: LabelSet, palette: Name) -> LabelSet:
    """Returns the label set with the palette's colours; "own" keeps its own. Countable things get the first colours."""
    if palette == "own":
        return label_set
    sizes = label_set.instance_sizes or (0.0,) * len(label_set)
    order = sorted(range(len(label_set)), key=lambda label: not sizes[label])
    colors = dict(zip(order, colorblind(len(label_set)), strict=True))
    return replace(label_set, colors=tuple(colors[label] for label in range(len(label_set))))


@cache
def colorblind(count: int) -> tuple[Color, ...]:
    """Returns `count` RGB colours; a larger count begins with the same colours."""
    candidates = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), -1).reshape(-1, 3)
    candidates = candidates[_as_seen(candidates)[0, :, 0] > _DARKEST]
    seen = _as_seen(candidates)
    chosen = list(_OKABE_ITO[:count])
    taken = _as_seen(np.array([(0, 0, 0), (255, 255, 255), *chosen], np.float64))  # black: ignored pixels, white: borders
    nearest = np.full(len(candidates), np.inf)
    for color in taken.swapaxes(0, 1):
        nearest = np.minimum(nearest, _distance(seen, color))
    while len(chosen) < count:
        best = int(nearest.argmax())
        red, green, blue = map(int, candidates[best])
        chosen.append((red, green, blue))
        nearest = np.minimum(nearest, _distance(seen, seen[:, best]))
    return tuple(chosen)


def _distance(seen: npt.NDArray[np.float64], color: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns how far colours (sights, N, 3) are from one (sights, 3) for the sight that tells them apart worst: (N,)."""
    return np.linalg.norm(seen - color[:, None], axis=-1).min(0)


def _as_seen(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns (sights, N, 3) in OKLab of (N, 3) sRGB, 0 to 255."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.einsum("sij,nj->sni", _SIGHTS, linear), 0, 1)
    return np.cbrt(seen @ _TO_LMS.T) @ _TO_LAB.T
