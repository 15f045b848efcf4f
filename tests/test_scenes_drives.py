"""Drives along procedural streets, from frame to frame, in any light and weather; and statistics over many of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scenes_reference import rays

from datasets.scenes.catalog import Catalog
from datasets.scenes.renderer import Renderer, Scene
from datasets.scenes.setting import LABEL_IDS
from datasets.scenes.street import Street, mirror

SIZE_HW = (48, 96)
GROUNDS = [LABEL_IDS[name] for name in ("road", "sidewalk", "terrain")]


def projected(scene: Scene, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns row and column of the pixels at which points (N, 3) [m] lie, and which points are inside the picture."""
    height, width = SIZE_HW
    seen = (points - scene.camera[:3]) @ scene.camera[3:12].reshape(3, 3).T
    ahead = np.maximum(seen[:, 2], 0.1)
    rows = (height / 2 - height * scene.camera[12] * seen[:, 1] / ahead).astype(int)
    columns = (width / 2 + height * scene.camera[12] * seen[:, 0] / ahead).astype(int)
    return rows, columns, (seen[:, 2] > 1) & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)


@pytest.mark.parametrize("seed", ["drive 1", "drive 4", "drive 6"])
def test_a_place_on_the_ground_keeps_its_label_in_the_next_frames(seed: str, parts: Catalog, renderer: Renderer) -> None:
    street = Street(parts, seed)
    first = street.scene(1.0)
    labels, directions = renderer.render(first).label_ids, rays(first, SIZE_HW)
    ground = np.isin(labels, GROUNDS) & (directions[..., 1] < -0.05)
    places = first.camera[:3] - directions[ground] * (first.camera[1] / directions[ground][:, 1:2])
    for time_s in (1.06, 1.3):
        later = street.scene(time_s)
        rows, columns, shown = projected(later, places)
        now, before = renderer.render(later).label_ids[rows[shown], columns[shown]], labels[ground][shown]
        both = np.isin(now, GROUNDS)  # the others are hidden by objects
        assert both.mean() > 0.7 and (now[both] == before[both]).mean() > 0.95


def test_what_stands_still_is_found_where_it_was(parts: Catalog) -> None:
    street = Street(parts, "still")
    standing = [LABEL_IDS[name] for name in ("building", "vegetation", "wall", "fence", "pole", "static")]
    before, after = street.scene(1.0), street.scene(1.1)
    kept = []
    for scene in (before, after):
        near = np.abs(scene.placement[:, 2] - before.camera[2]) < 100
        still = np.isin(scene.things.part_labels[:, 0], standing) & near
        kept.append({(mesh, *place.round(9)) for mesh, place in zip(scene.mesh[still], scene.placement[still], strict=True)})
    assert kept[0] == kept[1] and len(kept[0]) > 20


def test_labels_follow_the_geometry_alone_whatever_the_light(parts: Catalog, renderer: Renderer) -> None:
    scene = Street(parts, "light").scene(1.0)
    expected = renderer.render(scene)
    for seed in range(5):
        light = Street(parts, f"light {seed}").light
        frame = renderer.render(replace(scene, light=light._replace(wet=0.9 * (seed % 2)), clock=seed))
        np.testing.assert_array_equal(frame.label_ids, expected.label_ids)
        np.testing.assert_array_equal(frame.instance_ids, expected.instance_ids)


def test_haze_takes_far_things_to_the_horizons_colour_and_spares_near_ones(parts: Catalog, renderer: Renderer) -> None:
    scene = Street(parts, "haze").scene(0.0)
    light = scene.light._replace(wet=0.0, horizon=(0.9, 0.2, 0.2), haze=0.0)
    clear, thick = (renderer.render(replace(scene, light=light._replace(haze=haze))).bgr.astype(int) for haze in (0.0, 0.02))
    depth = np.where(renderer._buffers.shown >= 0, 1 / np.maximum(renderer._buffers.nearness, 1e-6), np.nan)
    bluer = (thick - clear)[..., 0] - (thick - clear)[..., 2]
    far, near = bluer[depth > 40], bluer[depth < 12]
    assert far.mean() > 40 and far.mean() > 2 * near.mean()


@pytest.mark.parametrize("extreme", [
    {"exposure": 1e6}, {"exposure": 0.0}, {"haze": 50.0}, {"sun_color": (1e5, 1e5, 1e5)}, {"cover": 5.0, "wet": 1.0},
    {"sun": (0.0, 1.0, 0.0), "drift": (1e7, -1e7)},
])
def test_no_light_overflows_or_leaves_a_pixel_out(extreme: dict[str, Any], parts: Catalog, renderer: Renderer) -> None:
    scene = Street(parts, "extreme").scene(0.0)
    quiet = replace(scene.lens, noise=0.0)
    with np.errstate(all="raise"):
        frame = renderer.render(replace(scene, light=scene.light._replace(**extreme), lens=quiet))
    if extreme.get("exposure") == 0.0:
        assert not frame.bgr.any()
    if extreme.get("exposure") == 1e6:
        assert frame.bgr.min() > 150, "bright, not wrapped round"
    assert (frame.label_ids > 0).all()


def test_a_wet_road_mirrors_and_nothing_else_changes(parts: Catalog, renderer: Renderer) -> None:
    scene = Street(parts, "wet").scene(0.0)
    scene = replace(scene, lens=replace(scene.lens, noise=0.0, blur_px=0.01))
    dry, wet = (renderer.render(replace(scene, light=scene.light._replace(wet=wet))) for wet in (0.0, 0.9))
    changed = np.abs(dry.bgr.astype(int) - wet.bgr).max(-1) > 12
    mirrors = np.isin(dry.label_ids, [LABEL_IDS["road"], LABEL_IDS["sidewalk"]])
    grown = np.zeros_like(mirrors)  # the lens blurs edges
    for down in (-1, 0, 1):
        for aside in (-1, 0, 1):
            grown |= np.roll(mirrors, (down, aside), (0, 1))
    assert changed[mirrors].mean() > 0.2 and not changed[~grown].any()


def test_mirroring_twice_gives_the_scene_back(parts: Catalog) -> None:
    scene = Street(parts, "twice").scene(0.5)
    again = mirror(mirror(scene))
    np.testing.assert_array_equal(again.placement, scene.placement)
    np.testing.assert_array_equal(again.camera, scene.camera)
    for one, other in zip(again.ground, scene.ground, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_camera_is_level_on_the_whole_and_its_rotation_is_one(parts: Catalog) -> None:
    for seed in range(8):
        for time_s in (0.0, 3.3):
            scene = Street(parts, f"camera {seed}").scene(time_s)
            rotation = scene.camera[3:12].reshape(3, 3)
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
            assert rotation[1, 1] > 0.98 and rotation[2, 2] > 0.85 and 1.1 < scene.camera[1] < 2.2
            assert np.isfinite(scene.placement).all() and np.isfinite(scene.things.tints).all()
