"""GLB files by the standard's rules, decoded by a reader of the tests' own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.gltf_reader import Glb, assert_valid
from helpers.morphable_data import ellipsoid
from scipy.spatial import cKDTree

from facegeo.errors import InvalidInputError
from facegeo.morphable import MorphableModel
from facegeo.render import Texture
from facegeo.render.texture import TexelSource
from facegeo.surface.eyes import with_whites
from facegeo.surface.gltf import Content
from facegeo.surface.mesh_files import Surface, model_surface, write_mesh
from facegeo.surface.parts import connected_parts
from facegeo.zoo.shipped import ASSETS

NODES = ("skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")
WAYS = ("In", "Out", "Up", "Down")
MEGABYTE = 1_000_000
#: What the standard's whole numbers of 16 bits and offsets that are left out may cost.
TOLERANCE_MM = 0.05


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return MorphableModel.load(ASSETS / "facegeo-head.npz")


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """As large as those of faces, and as hard to pack as a photo."""
    noise = np.random.default_rng(0).normal(0, 6, (1024, 1024, 3))
    ramp = np.linspace(40, 200, 1024)[:, None, None]
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1) * 4 + ramp, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def person(head: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    """Someone who smiles, talks and looks to one side."""
    rng = np.random.default_rng(3)
    shape = rng.normal(0, 1, head.num_shape).astype(np.float32)
    expression = np.zeros(head.num_expression, np.float32)
    for name, weight in {
        "jawOpen": 0.3, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.5, "browInnerUp": 0.2,
        "eyeBlinkLeft": 0.1, "eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5, "mouthFunnel": 0.2,
    }.items():  # fmt: skip
        expression[head.expression_names.index(name)] = weight
    return shape, expression


@pytest.fixture(scope="module")
def written(head, person, texture, tmp_path_factory) -> Path:
    """The file with morph targets."""
    path = tmp_path_factory.mktemp("glb") / "face.glb"
    write_mesh(model_surface(head, *person, texture=texture, scale=0.001), path)
    return path


@pytest.fixture(scope="module")
def glb(written: Path) -> Glb:
    return assert_valid(written.read_bytes())


def assert_shows(glb: Glb, vertices_mm: np.ndarray, triangles: np.ndarray, weights=None) -> None:
    """Every corner of every triangle where the model has it; whatever their order."""
    found = {
        name: glb.vertices(name, weights)[glb.triangles(name)] * 1000 for name in glb.mesh_nodes()
    }
    expected = vertices_mm[triangles]
    for corners in found.values():
        # Nearest triangles by their middle: their order in the file is the writer's affair.
        row = cKDTree(expected.mean(axis=1)).query(corners.mean(axis=1))[1]
        assert np.abs(corners - expected[row]).max() < TOLERANCE_MM
    assert sum(map(len, found.values())) == len(triangles)


def test_a_face_is_small(head, person, texture, written, tmp_path):
    assert written.stat().st_size <= 8 * MEGABYTE
    surface = model_surface(head, *person, texture=texture, scale=0.001)
    write_mesh(surface, tmp_path / "plain.glb", targets=False)
    assert (tmp_path / "plain.glb").stat().st_size <= 3 * MEGABYTE
    assert assert_valid((tmp_path / "plain.glb").read_bytes()).names("skin") == []


def test_nodes_are_named(glb):
    assert set(glb.mesh_nodes()) == set(NODES)
    (root,) = glb.tree["scenes"][0]["nodes"]
    root = glb.tree["nodes"][root]
    assert root["name"] == "head" and len(root["children"]) == len(NODES)
    assert set(root) == {"name", "children"}, "the head can be turned, moved and scaled"
    assert all("rotation" not in node for node in glb.tree["nodes"])


def test_targets_are_the_models_expressions(head, glb, person):
    assert glb.names("skin") == list(head.expression_names)
    expression = dict(zip(head.expression_names, person[1].tolist(), strict=True))
    for node in NODES:
        assert glb.weights(node) == {name: expression[name] for name in glb.names(node)}
    assert set(glb.names("eye_left")) == {
        f"eyeLook{way}Left" for way in ("In", "Out", "Up", "Down")
    }
    assert "tongueOut" in glb.names("tongue") and "jawOpen" in glb.names("teeth_lower")
    assert "jawOpen" not in glb.names("eye_left")


def test_the_files_own_weights_show_the_person(head, glb, person):
    shown = head.vertices(person[0][None], person[1][None])[0]
    assert_shows(glb, shown, head.triangles)


def test_without_weights_it_is_the_person_at_rest(head, glb, person):
    rest = head.vertices(person[0][None], np.zeros((1, head.num_expression), np.float32))[0]
    assert_shows(glb, rest, head.triangles, {})


@pytest.mark.parametrize("seed", range(3))
def test_any_weights_show_what_the_model_says(head, glb, person, seed):
    rng = np.random.default_rng(seed)
    chosen = np.zeros(head.num_expression, np.float32)
    rows = rng.choice(head.num_expression, 8, replace=False)
    chosen[rows] = rng.uniform(0, 1, 8)
    expected = head.vertices(person[0][None], chosen[None])[0]
    weights = dict(zip(head.expression_names, chosen.tolist(), strict=True))
    assert_shows(glb, expected, head.triangles, weights)


def test_without_targets_the_mesh_shows_the_expression(head, person, tmp_path):
    write_mesh(model_surface(head, *person, scale=0.001), tmp_path / "a.glb", targets=False)
    shown = head.vertices(person[0][None], person[1][None])[0]
    assert_shows(assert_valid((tmp_path / "a.glb").read_bytes()), shown, head.triangles)


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_eyes_turn_about_their_middle(glb, side):
    """The model's own gaze at 1 is a turn about the node's origin, and nothing else."""
    node = f"eye_{side.lower()}"
    origin = np.array(glb.mesh_nodes()[node]["translation"])
    rest = glb.vertices(node, {}) - origin
    for way in WAYS:
        looking = glb.vertices(node, {f"eyeLook{way}{side}": 1.0}) - origin
        u, _, vt = np.linalg.svd(looking.T @ rest)  # Kabsch, no translation
        turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        assert 20 < np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 32
        turned = glb.vertices(node, {}, turn) - origin
        assert np.abs(turned - looking).max() < 0.0006


def test_eye_origins_are_the_models_eye_centres(head, glb, person):
    """To the digits of the file, also of one that shows the expression or lies on a photo."""
    still = np.zeros(head.num_expression)
    centres = head.eyes.centres(person[0][None], still[None])[0]
    pose = np.array([[0.9, 0.1, 0, 200], [0.1, -0.9, 0.2, 300], [0, 0.2, 0.9, 5]], np.float32)
    placed = model_surface(head, *person, pose)
    for name, centre in zip(("eye_right", "eye_left"), centres, strict=True):
        origin = np.array(glb.mesh_nodes()[name]["translation"])
        np.testing.assert_allclose(origin * 1000, centre, atol=1e-4)
        expected = pose[:, :3] @ centre + pose[:, 3]
        np.testing.assert_allclose(placed.origins[name], expected, atol=1e-3)
        # What the fit of a sphere to the eyeball's back said.
        assert abs(abs(head.eyes.centre[("eye_right", "eye_left").index(name), 0]) - 31.5) < 0.1


def test_parts_without_an_origin_have_their_middle(head, tmp_path):
    rest = np.zeros(head.num_shape), np.zeros(head.num_expression)
    surface = dataclasses.replace(model_surface(head, *rest), morph_targets={}, weights={})
    surface = dataclasses.replace(surface, origins={"eye_left": [1, 2, 3]})
    write_mesh(surface, tmp_path / "a.glb")
    nodes = assert_valid((tmp_path / "a.glb").read_bytes()).mesh_nodes()
    assert nodes["eye_left"]["translation"] == [1, 2, 3]
    points = head.mean[np.unique(head.triangles[head.part("tongue")])].astype(np.float64)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    np.testing.assert_allclose(nodes["tongue"]["translation"], middle, atol=1e-4)
    with pytest.raises(InvalidInputError, match="origins: expected names of parts, got 'ear'"):
        dataclasses.replace(surface, origins={"ear": [1, 2, 3]})
    with pytest.raises(InvalidInputError, match=r"origins\['tongue'\]: expected shape \(3,\)"):
        dataclasses.replace(surface, origins={"tongue": [1, 2]})
    assert "eye_left" not in model_surface(head.without("eye_left"), *rest).origins


def test_shading_follows_the_expression(head, glb):
    """A blink turns the lid: with their offsets normals are those of the moved surface."""
    triangles = glb.triangles("skin")
    for name, least in (("eyeBlinkLeft", 0.9), ("mouthSmileLeft", 0.95), ("browInnerUp", 0.95)):
        weights = {name: 1.0}
        vertices, rest = glb.vertices("skin", weights), glb.vertices("skin", {})
        moved = np.linalg.norm(vertices - rest, axis=1) > 0.002
        a, b, c = (vertices[triangles[:, k]] for k in range(3))
        normals = np.zeros_like(vertices)
        for corner in range(3):
            np.add.at(normals, triangles[:, corner], np.cross(b - a, c - a))
        given = glb.attribute("skin", "NORMAL", weights)
        cosine = (normals * given).sum(axis=1)
        cosine /= np.linalg.norm(normals, axis=1) * np.linalg.norm(given, axis=1) + 1e-30
        assert np.median(cosine[moved]) > least
        unmoved = (normals * glb.attribute("skin", "NORMAL", {})).sum(axis=1)
        unmoved /= np.linalg.norm(normals, axis=1) + 1e-30
        assert cosine[moved].mean() > unmoved[moved].mean()


def test_trimesh_reads_it(head, written, person):
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.load(written, process=False)
    assert len(scene.geometry) == len(NODES) + 1  # the mouth's inside has a material of its own
    whole = trimesh.load(written, process=False, force="mesh")
    rest = head.vertices(person[0][None], np.zeros((1, head.num_expression), np.float32))[0]
    assert np.abs(whole.bounds * 1000 - [rest.min(axis=0), rest.max(axis=0)]).max() < TOLERANCE_MM
    assert len(whole.faces) == len(head.triangles)


def test_parts_that_a_photo_does_not_show_have_a_colour(glb):
    materials = {material["name"]: material for material in glb.tree["materials"]}
    assert set(materials) == {"face", "mouth_inside", "teeth_upper", "teeth_lower", "tongue"}
    textured = [
        name for name, one in materials.items()
        if "baseColorTexture" in one["pbrMetallicRoughness"]
    ]  # fmt: skip
    assert textured == ["face"]
    for mesh in glb.tree["meshes"]:
        for primitive in mesh["primitives"]:
            name = glb.tree["materials"][primitive["material"]]["name"]
            assert ("TEXCOORD_0" in primitive["attributes"]) == (name == "face")


def test_a_large_texture_is_a_jpeg(glb, texture):
    (image,) = glb.tree["images"]
    assert image["mimeType"] == "image/jpeg"
    view = glb.tree["bufferViews"][image["bufferView"]]
    content = glb.blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - texture).mean() < 3


def test_modes_of_any_kind(tmp_path):
    """Few that move everything, without names and parts, in pixels: as before, one node."""
    model = ellipsoid()
    shape, expression = np.ones(6, np.float32), np.array([0.5, -1, 2], np.float32)
    pose = np.array([[2, 0, 0, 300], [0, -2, 0, 200], [0, 0, 2, 5.0]])
    write_mesh(model_surface(model, shape, expression, pose), tmp_path / "a.glb")
    glb = assert_valid((tmp_path / "a.glb").read_bytes())
    assert list(glb.mesh_nodes()) == ["face"] and len(glb.tree["nodes"]) == 1
    expected = model.vertices(shape[None], expression[None], pose[None])[0] * (1, -1, 1)
    assert np.abs(glb.vertices("face") - expected).max() < 0.03  # of 400 pixels


def test_more_vertices_than_16_bits_count(tmp_path):
    side = 300
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    vertices = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    offset = np.zeros_like(vertices)
    offset[-5:, 2] = 0.25
    surface = Surface(
        vertices, triangles, frame="model", morph_targets={"up": offset, "none": 0 * offset}
    )
    write_mesh(surface, tmp_path / "a.glb")
    glb = assert_valid((tmp_path / "a.glb").read_bytes())
    assert np.abs(glb.vertices("face", {"up": 1.0, "none": 1.0}) - vertices - offset).max() < 1e-4
    np.testing.assert_array_equal(glb.triangles("face"), triangles)


def test_65535_is_no_vertex():
    """The largest index restarts a primitive: with it 32 bits are needed."""
    for count, kind in ((65535, 5123), (65536, 5125)):
        content = Content()
        content.indices(np.array([[0, 1, count - 1]]), count)
        glb = Glb.parse(content.file({}))
        assert glb.tree["accessors"][0]["componentType"] == kind


def test_parts_are_those_that_share_no_vertex():
    triangles = np.array([[0, 1, 2], [2, 3, 4], [5, 6, 7], [8, 9, 10], [4, 11, 12]])
    masks = {
        "skin": [1, 0, 0, 0, 0], "eye": [0, 0, 1, 0, 0], "mouth": [0, 0, 0, 0, 1],
        "between": [0, 1, 0, 0, 0], "nothing": [0] * 5,
    }  # fmt: skip
    parts = connected_parts(triangles, {k: np.array(v, bool) for k, v in masks.items()})
    assert [(part.name, list(part.triangles)) for part in parts] == [
        ("skin", ["skin", "mouth", "between"]),
        ("eye", ["eye"]),
        ("face", ["face"]),
    ]
    (whole,) = connected_parts(triangles, {})
    assert whole.name == "face" and len(whole.triangles["face"]) == 5


def test_unseen_parts_of_eyes_are_white(head):
    """Skin around them does not become part of the eye; what is seen stays."""
    size = 512
    image = np.full((size, size, 3), (90, 120, 200), np.uint8)
    source = np.full((size, size), TexelSource.FILLED, np.uint8)
    rows = np.unique(head.uv_triangles[head.parts["eye_left"]])
    u, v = head.uv[rows].mean(axis=0)
    x, y = round(u * size), round((1 - v) * size)
    image[y - 4 : y + 5, x - 4 : x + 5] = (60, 60, 60)
    image[y - 4 : y, x - 4 : x + 5] = (220, 224, 228)
    source[y - 4 : y + 5, x - 4 : x + 5] = TexelSource.SEEN
    white = with_whites(Texture(image, source), head)
    assert (white.image[y + 1, x] == 60).all() and white.source is source
    for part in ("eye_left", "eye_right"):
        uv = head.uv[np.unique(head.uv_triangles[head.parts[part]])]
        far = uv[np.linalg.norm((uv - (u, v)) * size, axis=1) > 16]
        colours = white.image[
            ((1 - far[:, 1]) * size).astype(int), (far[:, 0] * size).astype(int)
        ].astype(int)
        assert np.ptp(colours, axis=1).max() <= 8 and colours.min() > 180, part
    elsewhere = white.image[10, 10]
    assert (elsewhere == (90, 120, 200)).all()


def test_a_model_without_eyes_keeps_its_texture():
    model = ellipsoid()
    texture = Texture(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    assert (with_whites(texture, model).image == 0).all()
