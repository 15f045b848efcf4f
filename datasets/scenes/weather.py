"""The light of a day, by chance: sun, broken clouds, overcast, haze, wet roads; and the camera's way of seeing it."""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from datasets.scenes.parts import Float32Array
from datasets.scenes.setting import Light, Triple


@dataclass(frozen=True)
class Lens:
    """What the camera does to a picture.

    Attributes:
        blur_px: standard deviation of the blur, at a picture of 512 rows.
        noise: standard deviation of the noise, in 8-bit steps.
        balance: (3,) factors of blue, green, red.
    """

    blur_px: float
    noise: float
    balance: Float32Array


def _bgr(*values: float) -> Float32Array:
    return np.array(values, np.float32)


def _triple(values: npt.NDArray[np.floating]) -> Triple:
    first, second, third = map(float, values)
    return first, second, third


def some_light(rng: Random) -> Light:
    """Returns the light of a day."""
    kind = rng.choices(("sunny", "broken", "overcast", "dull"), (0.36, 0.2, 0.32, 0.12))[0]
    elevation, azimuth = math.radians(rng.uniform(16, 62)), rng.uniform(0, 2 * math.pi)
    sun = _bgr(math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth))
    low = max(0.0, 1 - elevation / math.radians(40))  # a low sun is warm
    strength = {"sunny": rng.uniform(1.5, 2.4), "broken": rng.uniform(0.7, 1.5), "overcast": 0.0, "dull": 0.0}[kind]
    sun_color = strength * _bgr(0.80 - 0.35 * low, 0.92 - 0.16 * low, 1.0)
    if strength:
        blue = rng.uniform(0.3, 1.0)
        sky_color = _bgr(0.52 + 0.16 * blue, 0.50 + 0.05 * blue, 0.47 - 0.04 * blue) * rng.uniform(0.8, 1.1)
        zenith = _bgr(0.62 + 0.1 * blue, 0.42 - 0.12 * blue + 0.1, 0.30 - 0.16 * blue) * rng.uniform(0.8, 1.2)
        horizon = _bgr(0.88, 0.84, 0.78 - 0.06 * blue) * rng.uniform(0.85, 1.2)
        cloud = _bgr(0.95, 0.95, 0.95) * rng.uniform(0.9, 1.3)
        cover = rng.uniform(0.0, 0.45) if kind == "sunny" else rng.uniform(0.4, 0.75)
    else:
        tone = rng.uniform(0.75, 1.1) if kind == "overcast" else rng.uniform(0.5, 0.75)
        tint = _bgr(1.03, 1.0, 0.96) if rng.random() < 0.6 else _bgr(0.97, 1.0, 1.0)
        sky_color, horizon = 0.95 * tone * tint, tone * tint * rng.uniform(1.0, 1.25)
        zenith, cloud = 0.85 * tone * tint, tone * tint * rng.uniform(0.95, 1.15)
        cover = rng.uniform(0.75, 1.1)
    ground_color = 0.30 * sky_color + 0.11 * sun_color * sun[1] + _bgr(0.01, 0.02, 0.03)
    on_ground = float(sky_color[1] + sun_color[1] * sun[1])
    return Light(
        sun=_triple(sun), sun_color=_triple(sun_color), sky_color=_triple(sky_color), ground_color=_triple(ground_color),
        zenith=_triple(zenith), horizon=_triple(horizon), cloud=_triple(cloud), cover=cover,
        drift=(rng.uniform(0, 500), rng.uniform(0, 500)),
        haze=rng.choices((rng.uniform(0.0002, 0.0012), rng.uniform(0.0015, 0.005)), (0.86, 0.14))[0],
        exposure=rng.uniform(0.62, 1.02) / (0.35 + 0.65 * on_ground),
        wet=rng.uniform(0.3, 0.9) if rng.random() < (0.04 if strength else 0.22) else 0.0)


def some_lens(rng: Random) -> Lens:
    """Returns a camera's blur, noise and white balance."""
    warmth, green = rng.gauss(0, 0.035), rng.gauss(0.01, 0.02)
    return Lens(rng.uniform(0.45, 1.2), rng.uniform(0.4, 3.2), _bgr(1 - warmth, 1 + green, 1 + warmth))
