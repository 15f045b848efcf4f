"""The objects of procedural street scenes, family by family, compared with rays, formulas and other libraries."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import name2label
from scenes_reference import cast, rays, scene_of

from datasets.scenes import poses, signs, solids
from datasets.scenes.canvas import FINER, Canvas
from datasets.scenes.catalog import Catalog
from datasets.scenes.figures import Figure
from datasets.scenes.parts import GLASS, GLOW, HOLE, PLAIN, TINT_1, Library, MeshBuilder, Texel
from datasets.scenes.plan import Plan
from datasets.scenes.renderer import Frame, Renderer, Scene
from datasets.scenes.setting import LABEL_IDS
from datasets.scenes.stage import COUNTED, Stage
from datasets.scenes.street import Street, _rotation
from datasets.scenes.vehicle_parts import Panel

SIZE_HW = (40, 80)
GROUNDS = [LABEL_IDS[name] for name in ("road", "sidewalk", "terrain")]


# Labels and instances are those of what is visible

Posed = tuple[int, float, float, tuple[str, ...]]  # mesh, distance, yaw, labels


def meshes(family: str, parts: Catalog) -> list[Posed]:
    """Returns up to three objects of a family, each further away than the one before, turned to different sides."""
    furniture, plants, vehicles = parts.furniture, parts.plants, parts.vehicles
    pole = ("pole", "traffic light", "traffic sign", "static")
    chosen: Sequence[int]
    labels: tuple[str, ...]
    chosen, labels, distance = {
        "buildings": ([parts.buildings[i].mesh for i in (0, 13)], ("building",), 22.0),
        "trees": ([plants.trees[i].mesh for i in (0, 6, 10)], ("vegetation",), 14.0),
        "bushes and hedges": ([plants.bushes[1].mesh, plants.hedges[0].mesh, plants.hedges[3].mesh], ("vegetation",), 5.0),
        "cars": ([vehicles.cars[i].mesh for i in (0, 3, 11)], ("car",), 7.0),
        "lorries and buses": ([vehicles.trucks[4].mesh, vehicles.trucks[6].mesh, vehicles.buses[0].mesh], ("truck",), 14.0),
        "trams": ([vehicles.trains[1].mesh], ("train",), 18.0),
        "lights": ([furniture.lights[0].mesh, furniture.lights[3].mesh, furniture.masts[0].mesh], pole, 5.0),
        "signs": ([furniture.signs[i].mesh for i in (0, 8, 17)], pole, 3.0),
        "lamps and poles": ([furniture.lamps[3].mesh, furniture.poles[1].mesh, furniture.poles[6].mesh], ("pole",), 7.0),
        "walls and boxes": ([furniture.walls[2].mesh, furniture.boxes[3].mesh, furniture.boxes[9].mesh], ("wall",), 5.0),
        "fences": ([furniture.fences[i].mesh for i in (0, 6, 11)], ("fence",), 5.0),
    }[family]
    yaws = (0.5, -0.9, 2.6)
    return [(mesh, distance * (1 + 0.5 * k), yaws[k], labels) for k, mesh in enumerate(chosen)]


@pytest.mark.parametrize("family", ["buildings", "trees", "bushes and hedges", "cars", "lorries and buses", "trams", "lights",
                                    "signs", "lamps and poles", "walls and boxes", "fences"])
def test_labels_and_instances_are_those_of_what_a_ray_meets_first(family: str, parts: Catalog, renderer: Renderer) -> None:
    stage = Stage()
    for k, (mesh, distance, yaw, labels) in enumerate(meshes(family, parts)):
        stage.add(mesh, (-1.2, 1.5, 0.2)[k] * distance / 7, distance, yaw, labels=labels)
    scene = scene_of(parts, stage)
    frame, seen = renderer.render(scene), cast(parts.library, scene, SIZE_HW)
    shown = seen.thing >= 0
    ground = np.where(rays(scene, SIZE_HW)[..., 1] < 0, LABEL_IDS["road"], LABEL_IDS["sky"])
    part = np.where(shown, seen.part, 0)
    for drawn, table in ((frame.label_ids, scene.things.part_labels), (frame.instance_ids, scene.things.part_instances)):
        wrong = drawn != np.where(shown, table[seen.thing, part], ground)
        assert wrong[~seen.ragged].mean() < 0.004, "except for pixels whose middle an edge cuts"
        assert wrong.mean() < 0.06, "holes follow a halved texture where a texel is smaller than a pixel"
    assert shown.mean() > 0.008


def test_nearness_is_one_over_the_depth_that_a_ray_finds(parts: Catalog, renderer: Renderer) -> None:
    stage = Stage()
    stage.add(parts.vehicles.cars[0].mesh, 0.6, 6.0, 0.4, labels=("car",))
    stage.add(parts.buildings[3].mesh, 5.0, 20.0, labels=("building",))
    scene = scene_of(parts, stage)
    renderer.render(scene)
    seen = cast(parts.library, scene, SIZE_HW)
    both = (seen.thing >= 0) & (renderer._buffers.shown >= 0) & ~seen.ragged
    assert np.median(np.abs(renderer._buffers.nearness[both] * seen.depth[both] - 1)) < 1e-4
    assert np.quantile(np.abs(renderer._buffers.nearness[both] * seen.depth[both] - 1), 0.98) < 0.02


def test_each_counted_thing_has_an_instance_of_its_own(parts: Catalog, renderer: Renderer) -> None:
    stage = Stage()
    for x in (-3.0, 0.0, 3.0):
        stage.add(parts.vehicles.cars[1].mesh, x, 9.0, labels=("car",))
        stage.add_figure(parts.figures.standing[0], x + 1.4, 9.0, 0.0, labels=("person",), tints=((9, 9, 9), (9, 9, 9)))
    frame = renderer.render(scene_of(parts, stage))
    for label in ("car", "person"):
        ids = np.unique(frame.instance_ids[frame.label_ids == LABEL_IDS[label]])
        np.testing.assert_array_equal(ids, LABEL_IDS[label] * 1000 + np.arange(3))


def test_ids_and_counted_classes_are_those_of_cityscapesscripts() -> None:
    assert {name: name2label[name].id for name in LABEL_IDS} == LABEL_IDS
    assert set(COUNTED) == {name for name in LABEL_IDS if name2label[name].hasInstances and not name2label[name].ignoreInEval}


# The camera

@pytest.mark.parametrize(("yaw", "pitch", "roll"), [
    (0.0, 0.0, 0.0), (0.25, 0.0, 0.0), (0.0, -0.12, 0.0), (0.0, 0.0, 0.2), (-0.2, 0.1, -0.15)])
def test_a_turned_camera_projects_as_opencv_does(parts: Catalog, yaw: float, pitch: float, roll: float) -> None:
    library = Library()
    texture = library.add_texture(np.full((4, 4, 4), PLAIN, np.uint8))
    corners = np.array(((-1.5, 2.5, 0), (1.0, 2.5, 0), (1.0, 0.5, 0), (-1.5, 0.5, 0)))
    mesh = library.add_mesh(MeshBuilder().quad(corners, texture).build(two_sided=True))
    stage = Stage()
    stage.add(mesh, 0.4, 7.0, labels=("car",))
    scene = scene_of(parts, stage)
    camera = scene.camera.copy()
    camera[3:12] = _rotation(yaw, pitch, roll).ravel()
    height, width = size_hw = (120, 240)
    frame = Renderer(library, size_hw).render(replace(scene, camera=camera))
    down = np.diag([1.0, -1.0, 1.0])  # OpenCV's y runs down
    matrix = np.array([[height * camera[12], 0, width / 2], [0, height * camera[12], height / 2], [0, 0, 1]])
    turn, _ = cv2.Rodrigues(down @ camera[3:12].reshape(3, 3) @ down)
    moved = (corners + np.array((0.4, 0, 7.0)) - camera[:3]) @ down
    points, _ = cv2.projectPoints(moved, turn, np.zeros(3), matrix, None)
    rows, columns = np.mgrid[:height, :width] + 0.5
    expected = np.ones(size_hw, bool)  # the pixels whose middle lies within all four edges
    for (x0, y0), (x1, y1) in pairwise([*points[:, 0], points[0, 0]]):
        expected &= (x1 - x0) * (rows - y0) - (y1 - y0) * (columns - x0) > 0
    drawn = frame.label_ids == LABEL_IDS["car"]
    assert expected.sum() > 1000 and (drawn != expected).sum() < 0.01 * expected.sum()


# The road and its markings

def bare(street: Street, time_s: float = 0.0) -> Scene:
    """Returns the scene of an empty street, seen from above its middle, dry and overcast."""
    scene = street.scene(time_s)
    stage = Stage()
    dry = street.light._replace(wet=0.0, haze=0.0, sun_color=(0.0, 0.0, 0.0))
    mesh, placement, things = stage.arrays((0.0, 0.0))
    return replace(scene, mesh=mesh, placement=placement, things=things, light=dry)


def on_ground(scene: Scene, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns which pixels show the ground within 40 m, and x and z of the shown places [m]."""
    directions, (x, y, z) = rays(scene, size_hw), scene.camera[:3]
    down = directions[..., 1] < -1e-3
    depth = np.where(down, -y / np.where(down, directions[..., 1], -1), 0)
    return down & (depth < 40), x + depth * directions[..., 0], z + depth * directions[..., 2]


def strips(plan: Plan) -> list[tuple[float, float, str]]:
    """Returns the start and end of strips right of the street's middle (negative: left), and their required labels."""
    found = [(-plan.middle_m, plan.middle_m, "road or terrain" if plan.tracks else "road")]
    for side, sign in ((plan.right, 1), (plan.left, -1)):
        edges = (plan.middle_m, side.road, side.parking, side.verge, side.pavement, 60.0)
        labels = ("road", "road", "terrain", "sidewalk", "terrain or sidewalk")
        found += [(min(sign * begin, sign * end), max(sign * begin, sign * end), label)
                  for (begin, end), label in zip(pairwise(edges), labels, strict=True)]
    return found


def test_the_ground_is_labelled_as_the_plan_lays_it_out(parts: Catalog, renderer: Renderer) -> None:
    for seed in range(6):
        street = Street(parts, f"ground {seed}")
        street._every, street._mirrored = 0, False  # no side streets
        scene = bare(street, 2.0)
        frame, (there, x, z) = renderer.render(scene), on_ground(scene, SIZE_HW)
        amplitude, frequency, phase = street.plan.bend
        aside = x - amplitude * np.sin(frequency * z + phase)
        checked = 0
        for begin, end, labels in strips(street.plan):
            inside = there & (aside > begin + 0.06) & (aside < end - 0.06) & (np.abs(aside) < 44)
            assert set(np.unique(frame.label_ids[inside])) <= {LABEL_IDS[name] for name in labels.split(" or ")}, (seed, labels)
            checked += int(inside.sum())
        assert checked > 0.8 * there.sum()


def test_a_dashed_line_is_where_it_is_said_to_be(parts: Catalog) -> None:
    size_hw = (160, 160)
    scene = scene_of(parts, Stage())
    ground = scene.ground
    line = np.array([[1.0, 0.3, 3.0, 6.0, 0.0, 3.0, 3.0, 3.0]], np.float32)  # 1 m aside, 0.3 m wide, 3 m long, 6 m apart; white
    step = (np.arange(len(ground.strip_at)) + 0.5 - len(ground.strip_at) / 2) * 0.02
    ground = ground._replace(lines=line, line_at=np.where(np.abs(step - 1.0) < 0.5, 0, -1).astype(np.int32))
    scene = replace(scene, ground=ground)
    frame, (there, x, z) = Renderer(parts.library, size_hw).render(scene), on_ground(scene, size_hw)
    bright, near = frame.bgr.mean(-1), there & (z < 14)
    on_line = np.abs(x - 1.0) < 0.08
    dashed = bright[near & on_line & (z % 9 > 0.4) & (z % 9 < 2.6)]
    between = bright[near & on_line & (z % 9 > 3.4) & (z % 9 < 8.6)]
    beside = bright[near & (np.abs(x - 1.0) > 0.3)]
    assert np.median(dashed) > 1.4 * np.median(beside) and np.median(between) == pytest.approx(np.median(beside), rel=0.2)
    assert set(np.unique(frame.label_ids[there])) == {LABEL_IDS["road"]}, "paint is road"


# Buildings, plants, furniture

def extent(parts: Catalog, mesh: int) -> np.ndarray:
    """Returns the size (3,) of a mesh in x, y, z [m]."""
    return np.ptp(parts.library.meshes[mesh].corners.reshape(-1, 3), axis=0)


def test_buildings_stand_behind_their_front_and_on_the_ground(parts: Catalog) -> None:
    for building in parts.buildings:
        corners = parts.library.meshes[building.mesh].corners.reshape(-1, 3)
        assert corners[:, 1].min() == 0 and corners[:, 1].max() >= building.height_m
        assert corners[:, 0].min() > -1.6 and corners[:, 0].max() == pytest.approx(building.depth_m, abs=0.5)
        assert extent(parts, building.mesh)[2] == pytest.approx(building.width_m, abs=0.9)
        assert (parts.library.meshes[building.mesh].part == 0).all()


def test_posts_plants_and_segments_have_the_size_that_they_tell(parts: Catalog) -> None:
    furniture = parts.furniture
    for post in (*furniture.poles, *furniture.lights, *furniture.masts, *furniture.signs, *furniture.boxes):
        assert extent(parts, post.mesh)[1] == pytest.approx(post.height_m, abs=0.45)
    for segment in (*furniture.walls, *furniture.fences):
        assert extent(parts, segment.mesh)[1:] == pytest.approx((segment.height_m, segment.length_m), abs=0.02)
    for plant in (*parts.plants.trees, *parts.plants.bushes):
        assert extent(parts, plant.mesh)[1] == pytest.approx(plant.height_m, rel=0.25)


def test_crowns_are_ragged_and_no_plant_is_tinted(parts: Catalog) -> None:
    for plant in (*parts.plants.trees, *parts.plants.bushes, *parts.plants.hedges):
        codes = [parts.library.textures[index][..., 3] for index in np.unique(parts.library.meshes[plant.mesh].texture)]
        assert set(np.unique(np.concatenate([code.ravel() for code in codes]))) <= {HOLE, PLAIN}
        assert any(0.03 < (code == HOLE).mean() < 0.97 for code in codes)


def test_a_sign_is_a_sign_from_the_front_and_static_from_behind(parts: Catalog, renderer: Renderer) -> None:
    labels = ("pole", "traffic light", "traffic sign", "static")
    for post in parts.furniture.signs[::6]:
        for yaw, face, other in ((0.0, "traffic sign", "static"), (math.pi, "static", "traffic sign")):
            stage = Stage()
            stage.add(post.mesh, 0.0, 5.0, yaw, labels=labels)
            seen = renderer.render(scene_of(parts, stage)).label_ids
            assert (seen == LABEL_IDS[face]).sum() > 4 and not (seen == LABEL_IDS[other]).any()


@pytest.mark.parametrize(("lit", "place", "channel"), [("red", 0, 2), ("amber", 1, 2), ("green", 2, 1)])
def test_a_signal_shines_where_its_lamp_is(lit: str, place: int, channel: int) -> None:
    texture = signs.signal(("red", "amber", "green"), lit)
    rows = np.flatnonzero((texture[..., 3] == GLOW).any(1))
    third = len(texture) / 3
    assert place * third < rows.min() and rows.max() < (place + 1) * third
    assert texture[texture[..., 3] == GLOW][:, :3].mean(0).argmax() == channel


# People and cycles

def test_a_body_keeps_its_bones_and_stays_above_the_ground() -> None:
    pose, stride_m = poses.walking(1.75, 1.0, np.arange(16) / 16)
    for start, end, share in ((pose.hip, pose.knee, poses.THIGH), (pose.elbow, pose.hand, poses.FOREARM)):
        assert np.linalg.norm(end - start, axis=-1) == pytest.approx(np.full((2, 16), share * 1.75), rel=0.02)
    assert min(pose.ankle[..., 1].min(), pose.toe[..., 1].min()) > 0
    assert 1.0 < stride_m < 1.8, "two steps of a grown-up"
    half_later = np.roll(pose.knee, 8, axis=1)[::-1] * (-1, 1, 1)  # left and right change places after half a stride
    np.testing.assert_allclose(pose.knee, half_later, atol=1e-6)


def seen_figure(parts: Catalog, renderer: Renderer, figure: Figure, heading: float, labels: tuple[str, ...]) -> Frame:
    stage = Stage()
    stage.add_figure(figure, 0.0, 5.0, heading, labels=labels, tints=((40, 40, 200), (200, 40, 40)))
    return renderer.render(scene_of(parts, stage))


def test_people_are_as_tall_as_they_are_said_to_be(parts: Catalog, renderer: Renderer) -> None:
    for figure in (*parts.figures.walkers[::3], *parts.figures.standing[1::3]):
        rows = np.flatnonzero((seen_figure(parts, renderer, figure, 1.0, ("person",)).label_ids == LABEL_IDS["person"]).any(1))
        pixels_per_m = SIZE_HW[0] / 5.0
        assert len(rows) / pixels_per_m == pytest.approx(figure.height_m, abs=1.6 / pixels_per_m)
        below_eye_m = (rows.max() + 1 - SIZE_HW[0] / 2) / pixels_per_m
        assert below_eye_m == pytest.approx(1.5, abs=1.5 / pixels_per_m)  # feet on the ground


def test_a_walker_repeats_after_a_stride_and_is_mirrored_to_the_other_side(parts: Catalog) -> None:
    for figure in parts.figures.walkers:
        for yaw in np.linspace(-3, 3, 7):
            for travelled in (0.1, 0.7, 2.3):
                assert figure.mesh(yaw, travelled) == figure.mesh(yaw, travelled + 3 * figure.stride_m + 1e-6)
                mesh, mirrored = figure.mesh(-yaw, travelled)
                assert figure.mesh(yaw, travelled) == (mesh, not mirrored) or abs(yaw) < 1e-9
        assert len({figure.mesh(math.pi / 2, share * figure.stride_m)[0] for share in np.arange(8) / 8 + 0.01}) == 8


@pytest.mark.parametrize(("group", "vehicle"), [("cyclists", "bicycle"), ("motorcyclists", "motorcycle")])
def test_riders_sit_on_what_they_ride(group: str, vehicle: str, parts: Catalog, renderer: Renderer) -> None:
    for figure in getattr(parts.figures, group):
        for heading in (0.6, 1.5, 2.4):
            labels = seen_figure(parts, renderer, figure, heading, (vehicle, "rider")).label_ids
            rider, ridden = (np.argwhere(labels == LABEL_IDS[name])[:, 0] for name in ("rider", vehicle))
            assert len(rider) > 4 and len(ridden) > 4
            assert rider.mean() < ridden.mean() and rider.min() < ridden.min(), "above it"


def test_a_ball_is_a_disc_from_all_sides_and_hides_what_is_behind_it() -> None:
    library, noise = Library(), np.ones((360, 256), np.float32)
    views = solids.Views([0, 90, 180], 1.0, 2.0)
    views.ball((0, 1, 0.4), solids.Paint((0, 0, 255)), 0.3).ball((0, 1, -0.4), solids.Paint((255, 0, 0)), 0.2)
    front, side, back = views.add_to(library, noise, range(3))
    textures = [library.textures[library.meshes[mesh].texture[0]] for mesh in (front, side, back)]
    areas = [(texture[..., 3] != HOLE).sum() / solids.TEXELS_PER_M**2 for texture in textures]
    assert areas[0] == pytest.approx(math.pi * 0.09, rel=0.04) and areas[1] == pytest.approx(math.pi * (0.09 + 0.04), rel=0.04)
    middles = [texture[len(texture) // 2, texture.shape[1] // 2] for texture in textures]
    assert middles[0][2] > middles[0][0], "coming: the one ahead, red, is nearer"
    assert middles[2][0] > middles[2][2], "going: the one behind, blue, is nearer"


# Vehicles

def test_vehicles_have_their_size_stand_on_the_ground_and_have_glass_and_paint(parts: Catalog) -> None:
    vehicles = parts.vehicles
    for vehicle in (*vehicles.cars, *vehicles.trucks, *vehicles.buses, *vehicles.trains):
        mesh = parts.library.meshes[vehicle.mesh]
        assert extent(parts, vehicle.mesh) == pytest.approx((vehicle.width_m, vehicle.height_m, vehicle.length_m), abs=0.35)
        assert mesh.corners[..., 1].min() == pytest.approx(0, abs=0.01) and (mesh.part == 0).all()
        codes = np.concatenate([parts.library.textures[index][..., 3].ravel() for index in np.unique(mesh.texture)])
        assert {TINT_1, GLASS, PLAIN} <= set(np.unique(codes))


def test_a_vehicle_takes_its_paint(parts: Catalog, renderer: Renderer) -> None:
    means = []
    for tint in ((0.0, 0.0, 255.0), (255.0, 0.0, 0.0)):
        stage = Stage()
        stage.add(parts.vehicles.cars[0].mesh, 0.0, 5.0, 0.8, labels=("car",), tints=(tint, tint))
        frame = renderer.render(scene_of(parts, stage))
        means.append(frame.bgr[frame.label_ids == LABEL_IDS["car"]].mean(0))
    assert means[0][2] > means[0][0] + 20 and means[1][0] > means[1][2] + 20


# The painter

def test_a_colour_leaves_codes_and_a_texel_sets_them() -> None:
    canvas = Canvas(2, 1, 10, Texel((10, 20, 30), TINT_1))
    texture = canvas.rect(0, 0, 1, 1, (50, 60, 70)).rect(1, 0, 0.5, 0.5, Texel((1, 2, 3), GLASS)).texture()
    assert texture.shape == (10, 20, 4)
    np.testing.assert_array_equal(texture[5, 5], (50, 60, 70, TINT_1))
    np.testing.assert_array_equal(texture[2, 12], (1, 2, 3, GLASS))
    np.testing.assert_array_equal(texture[7, 12], (10, 20, 30, TINT_1))


def test_canvas_and_panel_paint_the_same_upside_down() -> None:
    rng = np.random.default_rng(0)
    canvas, panel = Canvas(3, 2, 16), Panel(3, 2, 16)
    for _ in range(20):
        (left, right), (low, high) = np.sort(rng.integers(0, 33, (2, 2)) / 16)
        blue, green, red = map(float, rng.integers(0, 255, 3))
        paint = Texel((blue, green, red), int(rng.integers(1, 6)))
        if right > left and high > low:
            canvas.rect(left, 2 - high, right - left, high - low, paint)
            panel.box(right, low, left, high, paint)
    np.testing.assert_array_equal(canvas.bgr, panel.bgr)
    np.testing.assert_array_equal(canvas.code, panel.code)


@pytest.mark.parametrize("paint_shape", [
    lambda painter: painter.polygon([(0.5, 0.5), (2.5, 0.5), (2.5, 1.5), (0.5, 1.5)], Texel((9, 9, 9))),
    lambda painter: painter.line([(0.5, 1.0), (2.5, 1.0)], 0.5, Texel((9, 9, 9))),
    lambda painter: painter.ellipse(1.5, 1.0, 1.0, 0.6, Texel((9, 9, 9))),
])
@pytest.mark.parametrize("kind", [Canvas, Panel])
def test_shapes_cover_their_area(kind: type[Canvas] | type[Panel], paint_shape: Callable[[Canvas | Panel], object]) -> None:
    painter = kind(3, 2, 40)
    paint_shape(painter)
    area = (painter.code != HOLE).sum() / (40 * FINER) ** 2
    assert min(abs(area - expected) for expected in (2.0, 1.0 + 0.2, math.pi * 0.6)) < 0.12
    assert (painter.bgr[painter.code != HOLE] == 9).all() and not painter.bgr[painter.code == HOLE].any()


# Traffic

def test_vehicles_of_a_lane_never_overlap_and_keep_clear_of_the_camera(parts: Catalog) -> None:
    lengths = {vehicle.mesh: vehicle.length_m for group in ("cars", "trucks", "buses", "trains")
               for vehicle in getattr(parts.vehicles, group)}
    met = 0
    for seed in range(5):
        street = Street(parts, f"lane {seed}")
        for time_s in (0.0, 4.0, 300.0):
            eye = street._start + street.traffic.own_speed * time_s
            for lane in street.traffic._lanes:
                alone = Stage()
                street.traffic._lanes, all_lanes = [lane], street.traffic._lanes
                street.traffic.add_to(alone, eye, time_s, [])
                street.traffic._lanes = all_lanes
                spans = sorted((z - lengths[mesh] / 2, z + lengths[mesh] / 2)
                               for mesh, (_, _, z, *_) in zip(alone._mesh, alone._placement, strict=True) if mesh in lengths)
                assert all(end < begin for (_, end), (begin, _) in pairwise(spans))
                if lane.own:
                    assert all(end < eye - 8 or begin > eye + 8 for begin, end in spans)
                met += len(spans)
    assert met > 50
