"""Procedural street scenes: geometry compared with projection by hand, labels, motion, and the written files."""

import math
from dataclasses import fields
from itertools import pairwise

import cv2
import numpy as np
import pytest
from scenes_reference import scene_of

from datasets.cityscapes import Cityscapes
from datasets.scenes.__main__ import main
from datasets.scenes.catalog import FEW, Catalog
from datasets.scenes.parts import GLASS, GLOW, HOLE, LEVELS, PLAIN, TINT_1, TINT_2, Library, MeshBuilder
from datasets.scenes.renderer import Renderer
from datasets.scenes.setting import ALONG_M, LABEL_IDS, SIDE_STREET, Light
from datasets.scenes.stage import COUNTED, Stage
from datasets.scenes.street import Street, mirror
from seg.cli.common import run
from seg.files import read_instance_ids, read_labels
from seg.label_sets import CITYSCAPES

SIZE_HW = (96, 192)


@pytest.fixture(scope="module")
def boxes() -> tuple[Renderer, int, int]:
    """A renderer whose library has a plate of 2 x 2 m that faces the camera, and one with a hole in its left half."""
    library = Library()
    texture = np.full((32, 32, 4), 200, np.uint8)
    texture[..., 3] = PLAIN
    half = texture.copy()
    half[:, :16, 3] = HOLE
    corners = ((-1, 2, 0), (1, 2, 0), (1, 0, 0), (-1, 0, 0))
    meshes = [library.add_mesh(MeshBuilder().quad(corners, library.add_texture(pixels)).build()) for pixels in (texture, half)]
    return Renderer(library, SIZE_HW), meshes[0], meshes[1]


def test_a_plate_is_seen_where_projection_puts_it(parts: Catalog, boxes: tuple[Renderer, int, int]) -> None:
    renderer, plate, _ = boxes
    stage = Stage()
    stage.add(plate, 1.3, 8.0, labels=("car",))
    frame = renderer.render(scene_of(parts, stage))
    height, width = SIZE_HW
    rows, columns = np.mgrid[:height, :width] + 0.5
    x, y = (columns - width / 2) / height * 8.0, (height / 2 - rows) / height * 8.0 + 1.5  # focal length: the height
    inside = (np.abs(x - 1.3) < 1) & (y > 0) & (y < 2)
    near_edge = (np.abs(np.abs(x - 1.3) - 1) < 0.01) | (np.abs(y) < 0.01) | (np.abs(y - 2) < 0.01)
    seen = frame.label_ids == LABEL_IDS["car"]
    np.testing.assert_array_equal(seen[~near_edge], inside[~near_edge])
    assert set(np.unique(frame.label_ids[~seen])) == {LABEL_IDS["road"], LABEL_IDS["sky"]}
    assert (frame.label_ids[: height // 2][~seen[: height // 2]] == LABEL_IDS["sky"]).all()


def test_what_is_nearer_hides_what_is_behind_except_through_holes(parts: Catalog, boxes: tuple[Renderer, int, int]) -> None:
    renderer, plate, half = boxes
    stage = Stage()
    stage.add(plate, 0.0, 9.0, labels=("bus",))
    stage.add(half, 0.0, 6.0, labels=("car",))
    seen = renderer.render(scene_of(parts, stage)).label_ids
    middle = seen[SIZE_HW[0] // 2]
    left, right = middle[SIZE_HW[1] // 2 - 5], middle[SIZE_HW[1] // 2 + 5]
    assert (left, right) == (LABEL_IDS["bus"], LABEL_IDS["car"])


def test_a_face_is_not_seen_from_behind_unless_it_is_two_sided(parts: Catalog, boxes: tuple[Renderer, int, int]) -> None:
    renderer, plate, _ = boxes
    stage = Stage()
    stage.add(plate, 0.0, 8.0, math.pi, labels=("car",))
    assert not (renderer.render(scene_of(parts, stage)).label_ids == LABEL_IDS["car"]).any()


def test_what_stands_in_the_sun_casts_its_shadow_away_from_it(parts: Catalog, boxes: tuple[Renderer, int, int]) -> None:
    renderer, plate, _ = boxes
    stage = Stage()
    stage.add(plate, 0.0, 8.0, labels=("car",))
    sun = (math.sqrt(0.5), math.sqrt(0.5), 0.0)  # from the right, 45 degrees high: shadows as long as things are high
    stage.add(plate, 0.0, 8.0, math.pi / 2, labels=("car",))  # broadside to the sun
    frame = renderer.render(scene_of(parts, stage, sun=sun))
    height, width = SIZE_HW
    row = int(height / 2 + height * 1.5 / 8.0) + 1  # the ground just before it, 8 m ahead

    def brightness(x_m: float) -> float:
        column = int(width / 2 + x_m * height / 8.0)
        return float(frame.bgr[row + 1 : row + 3, column - 1 : column + 2].mean())

    assert brightness(-1.7) < 0.75 * brightness(2.5), "in the shade against in the sun"
    assert brightness(-4.0) == pytest.approx(brightness(4.0), rel=0.35), "both in the sun"


def test_a_mirrored_scene_gives_the_mirrored_labels(parts: Catalog, renderer: Renderer) -> None:
    scene = Street(parts, "mirror 2").scene(1.0)
    there, back = renderer.render(scene), renderer.render(mirror(scene))
    assert (there.label_ids == back.label_ids[:, ::-1]).mean() > 0.995


def test_a_seed_always_gives_the_same_picture_and_another_seed_another(parts: Catalog, renderer: Renderer) -> None:
    first = renderer.render(Street(parts, "9 1").scene(0.4))
    again = Renderer(parts.library, SIZE_HW).render(Street(parts, "9 1").scene(0.4))
    other = renderer.render(Street(parts, "9 2").scene(0.4))
    for name in ("bgr", "label_ids", "instance_ids"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.label_ids != other.label_ids).mean() > 0.1


def test_any_moment_of_a_drive_is_the_same_whatever_was_drawn_before(parts: Catalog, renderer: Renderer) -> None:
    street = Street(parts, 5)
    for time_s in (0.0, 1.0, 9.0):
        street.scene(time_s)
    np.testing.assert_array_equal(renderer.render(street.scene(3.0)).bgr, renderer.render(Street(parts, 5).scene(3.0)).bgr)


def test_things_move_steadily_and_houses_stand_still(parts: Catalog) -> None:
    street = Street(parts, "motion")
    before, now, after = (street.scene(2.0 + step) for step in (0.0, 0.1, 0.2))
    camera = [scene.camera[2] for scene in (before, now, after)]
    assert camera[1] - camera[0] == pytest.approx(0.1 * street.traffic.own_speed)
    assert camera[2] - camera[1] == pytest.approx(camera[1] - camera[0])
    buildings = [scene.placement[scene.things.part_labels[:, 0] == LABEL_IDS["building"]] for scene in (before, now)]
    here = {tuple(place[:3].round(6)) for place in buildings[0]}
    assert len(here & {tuple(place[:3].round(6)) for place in buildings[1]}) > 0.7 * len(here)  # all but the far backdrop
    places = []
    for scene in (before, now, after):
        near = scene.placement[:, 2] < scene.camera[2] + 50  # further ahead, people come into view
        places.append(scene.placement[(scene.things.part_labels[:, 0] == LABEL_IDS["person"]) & near][:, [0, 2]])
    moved = [np.hypot(*(b[:, None] - a[None]).transpose(2, 0, 1)).min(1) for a, b in pairwise(places)]
    moved = [step[place[:, 1] < camera[0] + 45] for step, place in zip(moved, places[1:], strict=False)]
    assert np.concatenate(moved).max() < 1.0, "nobody walks faster than 10 m/s"


def test_side_streets_never_end(parts: Catalog) -> None:
    street = Street(parts, "endless")
    street._every = 4
    for time_s in (0.0, 3600.0):
        scene = street.scene(time_s)
        begin = scene.camera[2] - 40
        _, there = scene.ground.along(begin)
        assert (there == SIDE_STREET).sum() * ALONG_M == pytest.approx(2 * street._half_crossing_m * 260 / 96, rel=0.5)


def test_a_library_is_packed_once_until_something_is_added(boxes: tuple[Renderer, int, int]) -> None:
    library = Library()
    texture = library.add_texture(np.full((2, 2, 4), 255, np.uint8))
    mesh = MeshBuilder().quad(((0, 1, 0), (1, 1, 0), (1, 0, 0), (0, 0, 0)), texture).build()
    library.add_mesh(mesh)
    packed = library.pack()
    assert library.pack() is packed and len(packed.texture) == 2
    library.add_mesh(mesh)
    assert len(library.pack().texture) == 4


def test_all_classes_appear_and_instances_fit_their_labels(parts: Catalog, renderer: Renderer) -> None:
    seen: set[int] = set()
    shares = np.zeros((40, 34))
    counted = {LABEL_IDS[name] for name in COUNTED}
    for seed in range(40):
        frame = renderer.render(Street(parts, f"all {seed}").scene())
        seen |= set(np.unique(frame.label_ids).tolist())
        shares[seed] = np.bincount(frame.label_ids.ravel(), minlength=34) / frame.label_ids.size
        assert 25 < frame.bgr.mean() < 230 and (frame.bgr == 255).mean() < 0.4, "neither black nor burnt out"
        of_instance = np.where(frame.instance_ids >= 1000, frame.instance_ids // 1000, frame.instance_ids)
        np.testing.assert_array_equal(of_instance, frame.label_ids)
        assert set(np.unique(frame.label_ids[frame.instance_ids >= 1000]).tolist()) <= counted
        assert not set(np.unique(frame.label_ids[frame.instance_ids < 1000]).tolist()) & counted
    assert set(CITYSCAPES.label_ids) <= seen <= set(CITYSCAPES.label_ids) | {LABEL_IDS["static"]}
    # As on real streets: much road and building, few poles and people, and no class alone in a picture.
    mean = {name: shares[:, label].mean() for name, label in LABEL_IDS.items()}
    assert 0.15 < mean["road"] < 0.5 and 0.08 < mean["building"] < 0.4 and 0.05 < mean["vegetation"] < 0.4
    small = ("pole", "traffic sign", "traffic light", "person", "rider", "bicycle", "motorcycle")
    assert all(mean[name] < 0.05 for name in small)
    assert (shares[:, LABEL_IDS["road"]] > 0.02).all() and shares.max() < 0.9


def test_a_town_has_one_light_and_camera_few_kinds_and_its_own_houses_on_each_street(parts: Catalog, renderer: Renderer) -> None:
    town = parts.of_town(7)
    streets = [Street(town, f"town {seed}") for seed in range(6)]
    assert len({(street.plan, street.light, street.scene().camera[12]) for street in streets}) == 1
    assert Street(parts.of_town(8), "town 0").light != streets[0].light
    frames = [renderer.render(street.scene()) for street in streets]
    assert len({frame.label_ids.tobytes() for frame in frames}) == len(frames)
    for group in ("plants", "furniture", "figures", "vehicles"):
        for field in fields(getattr(town, group)):
            kinds = getattr(getattr(town, group), field.name)
            assert len(kinds.choices if hasattr(kinds, "choices") else kinds) <= FEW
    np.testing.assert_array_equal(renderer.render(Street(parts.of_town(7), "town 0").scene()).bgr, frames[0].bgr)


def test_the_library_is_sound(parts: Catalog) -> None:
    packed = parts.library.pack()
    a, b, c = packed.corners.transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    assert np.isfinite(packed.corners).all() and np.isfinite(packed.uv).all()
    assert (area > 1e-8).mean() > 0.999
    assert packed.corners[..., 1].min() > -0.6, "nothing reaches far below the ground"
    assert packed.texture.max() < len(packed.tables)
    assert set(np.unique(packed.texels[:, 3])) == {HOLE, TINT_1, TINT_2, GLASS, GLOW, PLAIN}


def test_a_halved_texture_keeps_its_colour_and_what_is_mostly_there() -> None:
    texture = np.zeros((8, 8, 4), np.uint8)
    texture[:, :5] = (40, 80, 120, PLAIN)  # five of eight columns; the rest are black holes
    library = Library()
    corners = ((0, 1, 0), (1, 1, 0), (1, 0, 0), (0, 0, 0))
    library.add_mesh(MeshBuilder().quad(corners, library.add_texture(texture)).build())
    packed = library.pack()
    begin, rows, columns = packed.tables[0, 1]
    half = packed.texels[begin : begin + rows * columns].reshape(rows, columns, 4)
    assert (rows, columns) == (4, 4) and packed.tables.shape[1] == LEVELS
    np.testing.assert_array_equal(half[..., 3] > 0, [[True, True, True, False]] * 4)
    assert (np.abs(half[:, :3, :3].astype(int) - (40, 80, 120)) <= 1).all(), "holes don't darken what is next to them"


def test_a_light_has_colours_that_can_be_encoded(parts: Catalog) -> None:
    for seed in range(30):
        light: Light = Street(parts, seed).light
        assert math.hypot(*light.sun) == pytest.approx(1, abs=1e-5) and light.sun[1] > 0.2
        assert light.exposure > 0 and min(light.sky_color + light.horizon) > 0


def test_what_is_written_is_read_as_cityscapes(tmp_path) -> None:
    arguments = [str(tmp_path), "--frames", "3", "--sequence", "2", "--size", "64x128", "--seed", "4", "--threads", "2"]
    assert run(main, arguments) == 0
    reader = Cityscapes(tmp_path, "val")
    assert len(reader) == 3
    image, train_ids = reader.read(0)
    assert image.shape == (64, 128, 3) and set(np.unique(train_ids)) <= {*range(19), 255}
    label_path = reader.samples[0].label_path
    instances = read_instance_ids(str(label_path).replace("labelIds", "instanceIds"))
    labels = read_labels(label_path)
    np.testing.assert_array_equal(np.where(instances >= 1000, instances // 1000, instances), labels)


def test_threads_do_not_change_the_pictures(tmp_path) -> None:
    for threads in ("1", "2"):
        assert run(main, [str(tmp_path / threads), "--frames", "3", "--size", "48x96", "--threads", threads]) == 0
    one, two = (sorted((tmp_path / threads).rglob("*.png")) for threads in ("1", "2"))
    assert [path.name for path in one] == [path.name for path in two] and len(one) == 9
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))


def test_a_drive_is_written_as_a_video(tmp_path) -> None:
    assert run(main, [str(tmp_path / "drive.mp4"), "--frames", "3", "--size", "64x128"]) == 0
    capture = cv2.VideoCapture(str(tmp_path / "drive.mp4"))
    frames = 0
    while capture.read()[0]:
        frames += 1
    capture.release()
    assert frames == 3 and [path.name for path in tmp_path.iterdir()] == ["drive.mp4"]


def test_a_sheet_has_scenes_above_their_labels(tmp_path) -> None:
    assert run(main, [str(tmp_path / "sheet.png"), "--frames", "2", "--size", "64x128"]) == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (128, 256, 3)
    colors = {tuple(color[::-1]) for color in CITYSCAPES.colors} | {(0, 0, 0)}
    assert {tuple(color) for color in sheet[64:].reshape(-1, 3).tolist()} <= colors


@pytest.mark.parametrize(("arguments", "words"), [
    (["--frames", "0"], "--frames is 0"),
    (["--size", "8x8"], "32 pixels"),
    (["--size", "100000x100000"], "megapixels"),
    (["--size", "big"], "height x width"),
    (["--seed", "-1"], "--seed is -1"),
    (["--town", "-1"], "--town is -1"),
    (["--threads", "0"], "threads"),
    (["--split", "holiday"], "holiday"),
])
def test_bad_arguments_are_a_sentence(tmp_path, capsys, arguments: list[str], words: str) -> None:
    assert run(main, [str(tmp_path / "out"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_files_that_are_there_are_kept(tmp_path, capsys) -> None:
    folder = tmp_path / "leftImg8bit" / "val" / "scenes0"
    folder.mkdir(parents=True)
    (folder / "mine.png").write_bytes(b"mine")
    assert run(main, [str(tmp_path), "--frames", "1", "--size", "64x128"]) == 2
    assert "holds files already" in capsys.readouterr().err and (folder / "mine.png").read_bytes() == b"mine"
    assert run(main, [str(tmp_path / "odd.mp4"), "--frames", "1", "--size", "65x128"]) == 2
    for option in (["--split", "val"], ["--sequence", "2"], ["--threads", "1"]):  # they would do nothing
        assert run(main, [str(tmp_path / "drive.mp4"), *option]) == 2
    for name in ("drive.avi", "sheet.webp", "scenes.zip"):  # no folder of that name appears
        assert run(main, [str(tmp_path / name), "--frames", "1", "--size", "64x128"]) == 2
        assert "can't be written" in capsys.readouterr().err and not (tmp_path / name).exists()
