import errno
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.morphable_data import ellipsoid, volume
from scipy.spatial import cKDTree

from facegeo.base import files
from facegeo.errors import InvalidInputError, OutputError
from facegeo.morphable import MorphableModel
from facegeo.surface.mesh_files import Surface, model_surface, sample_vertex_colors, write_mesh

meshio = pytest.importorskip("meshio")
pygltflib = pytest.importorskip("pygltflib")

#: A number of 16 bits, of 400 pixels.
STEP = 400 / 65535
POSE = np.array([[2, 0, 0, 300], [0, -2, 0, 200], [0, 0, 2, 5.0]])
TEXTURE = np.random.default_rng(0).integers(0, 256, (32, 16, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return ellipsoid()


def posed(model: MorphableModel) -> Surface:
    """The model in photo pixels, with everything a file can hold."""
    colors = np.random.default_rng(1).integers(0, 256, (model.num_vertices, 3)).astype(np.uint8)
    return model_surface(model, np.zeros(6), np.zeros(3), POSE, texture=TEXTURE, colors=colors)


def with_seam(model: MorphableModel) -> Surface:
    """Half of the triangles have their own texture coordinates at shared vertices."""
    assert model.uv is not None
    own = model.triangles.copy()
    own[::2] += model.num_vertices
    uv = np.concatenate([model.uv, model.uv * 0.5])
    return Surface(model.mean, model.triangles, frame="model", uv=uv, uv_triangles=own)


def accessor(gltf: object, index: int) -> np.ndarray:
    """An accessor's numbers, read by the standard's rules from pygltflib's view of the file."""
    entry = gltf.accessors[index]  # type: ignore[attr-defined]
    columns = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[entry.type]
    dtype, largest = {
        5120: (np.int8, 127),
        5121: (np.uint8, 255),
        5122: (np.int16, 32767),
        5123: (np.uint16, 65535),
        5125: (np.uint32, 0),
        5126: (np.float32, 0),
    }[entry.componentType]
    view = gltf.bufferViews[entry.bufferView]  # type: ignore[attr-defined]
    start = (view.byteOffset or 0) + (entry.byteOffset or 0)
    row = columns * np.dtype(dtype).itemsize
    blob = gltf.binary_blob()[start : start + view.byteLength]  # type: ignore[attr-defined]
    rows = np.frombuffer(blob, np.uint8).reshape(entry.count, view.byteStride or row)[:, :row]
    numbers = np.ascontiguousarray(rows).view(dtype)
    return numbers / np.float32(largest) if entry.normalized and entry.type == "VEC3" else numbers


def placed(gltf: object, index: int) -> np.ndarray:
    """Positions where the one node of a file puts them."""
    (node,) = gltf.nodes  # type: ignore[attr-defined]
    return accessor(gltf, index) * np.array(node.scale) + np.array(node.translation)


def assert_outward(vertices: np.ndarray, triangles: np.ndarray, normals: np.ndarray) -> None:
    assert volume(vertices, triangles) > 0
    outward = vertices - vertices.mean(axis=0)
    # The test body is convex, so every normal leads away from its middle.
    assert (np.einsum("vi,vi->v", outward, normals) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)


def test_ply_loads_in_meshio(model: MorphableModel, tmp_path: Path) -> None:
    surface = posed(model)
    write_mesh(surface, tmp_path / "face.ply")
    mesh = meshio.read(tmp_path / "face.ply")
    triangles = mesh.cells_dict["triangle"]
    np.testing.assert_array_equal(mesh.points, surface.vertices * (1, -1, 1))
    np.testing.assert_array_equal(triangles, surface.triangles)
    normals = np.stack([mesh.point_data[key] for key in ("nx", "ny", "nz")], axis=1)
    assert_outward(mesh.points, triangles, normals)
    assert surface.colors is not None
    # meshio gives "uchar" as signed bytes.
    channels = [mesh.point_data[key].view(np.uint8) for key in ("blue", "green", "red")]
    colors = np.stack(channels, axis=1)
    np.testing.assert_array_equal(colors, surface.colors)


def test_ply_names_its_texture_and_has_a_place_in_it_for_every_vertex(
    model: MorphableModel, tmp_path: Path
) -> None:
    import trimesh

    surface = posed(model)
    written = write_mesh(surface, tmp_path / "my face.ply")
    assert [path.name for path in written] == ["my face.ply", "my_face.png"]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "my_face.png")), TEXTURE)
    assert b"\ncomment TextureFile my_face.png\n" in (tmp_path / "my face.ply").read_bytes()
    mesh = meshio.read(tmp_path / "my face.ply")
    uv = np.stack([mesh.point_data["s"], mesh.point_data["t"]], axis=1)
    np.testing.assert_array_equal(uv, surface.uv)
    loaded = trimesh.load(tmp_path / "my face.ply", process=False)
    np.testing.assert_array_equal(np.float32(loaded.visual.uv), surface.uv)
    picture = np.asarray(loaded.visual.material.image.convert("RGB"))
    np.testing.assert_array_equal(picture[..., ::-1], TEXTURE)


def test_ply_splits_vertices_at_seams_only(model: MorphableModel, tmp_path: Path) -> None:
    surface = with_seam(model)
    assert write_mesh(surface, tmp_path / "face.ply") == [tmp_path / "face.ply"]  # no texture
    mesh = meshio.read(tmp_path / "face.ply")
    triangles = mesh.cells_dict["triangle"]
    uv = np.stack([mesh.point_data["s"], mesh.point_data["t"]], axis=1)
    assert surface.uv is not None and surface.uv_triangles is not None
    np.testing.assert_array_equal(uv[triangles], surface.uv[surface.uv_triangles])
    np.testing.assert_array_equal(mesh.points[triangles], surface.vertices[surface.triangles])
    plain = Surface(model.mean, model.triangles, frame="model")
    write_mesh(plain, tmp_path / "plain.ply")
    assert set(meshio.read(tmp_path / "plain.ply").point_data) == {"nx", "ny", "nz"}


def test_obj_loads_in_meshio_and_trimesh(model: MorphableModel, tmp_path: Path) -> None:
    import trimesh

    surface = posed(model)
    written = write_mesh(surface, tmp_path / "my face.obj")
    assert [path.name for path in written] == ["my face.obj", "my_face.mtl", "my_face.png"]
    mesh = meshio.read(tmp_path / "my face.obj")
    np.testing.assert_array_equal(np.float32(mesh.points), surface.vertices * (1, -1, 1))
    np.testing.assert_array_equal(np.float32(mesh.point_data["obj:vt"]), surface.uv)
    loaded = trimesh.load(tmp_path / "my face.obj", process=False)
    assert len(loaded.faces) == len(surface.triangles)
    assert loaded.volume > 0
    # The photo's blue-green-red arrives as red-green-blue.
    picture = np.asarray(loaded.visual.material.image.convert("RGB"))
    np.testing.assert_array_equal(picture[..., ::-1], TEXTURE)


def test_obj_keeps_vertices_whole_at_seams(model: MorphableModel, tmp_path: Path) -> None:
    surface = with_seam(model)
    write_mesh(surface, tmp_path / "face.obj")
    words = [line.split() for line in (tmp_path / "face.obj").read_text().splitlines()]
    corners = np.array([[c.split("/") for c in w[1:]] for w in words if w[0] == "f"]).astype(int)
    np.testing.assert_array_equal(corners[..., 0] - 1, surface.triangles)
    np.testing.assert_array_equal(corners[..., 1] - 1, surface.uv_triangles)
    assert sum(word[0] == "v" for word in words) == model.num_vertices


def test_glb_loads_in_pygltflib(model: MorphableModel, tmp_path: Path) -> None:
    surface = posed(model)
    write_mesh(surface, tmp_path / "face.glb")
    gltf = pygltflib.GLTF2().load(tmp_path / "face.glb")
    (mesh,) = gltf.meshes
    (primitive,) = mesh.primitives
    vertices = placed(gltf, primitive.attributes.POSITION)
    triangles = accessor(gltf, primitive.indices).reshape(-1, 3)
    np.testing.assert_allclose(vertices, surface.vertices * (1, -1, 1), atol=STEP)
    np.testing.assert_array_equal(triangles, surface.triangles)
    assert_outward(vertices, triangles, accessor(gltf, primitive.attributes.NORMAL))
    uv = accessor(gltf, primitive.attributes.TEXCOORD_0)
    np.testing.assert_allclose(uv * (1, -1) + (0, 1), surface.uv, atol=1e-6)  # glTF: v down
    view = gltf.bufferViews[gltf.images[0].bufferView]
    png = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(picture, TEXTURE)


def test_glb_has_the_expressions_as_morph_targets(model: MorphableModel, tmp_path: Path) -> None:
    surface = posed(model)
    write_mesh(surface, tmp_path / "face.glb")
    gltf = pygltflib.GLTF2().load(tmp_path / "face.glb")
    (mesh,) = gltf.meshes
    assert mesh.extras["targetNames"] == list(model.expression_names)
    assert mesh.weights == [0, 0, 0]
    # A viewer that sets the weights gets the model's own vertices.
    weights = np.array([0.5, -1, 2])
    moved = placed(gltf, mesh.primitives[0].attributes.POSITION)
    for weight, target in zip(weights, mesh.primitives[0].targets, strict=True):
        offsets = accessor(gltf, target["POSITION"])
        entry = gltf.accessors[target["POSITION"]]
        np.testing.assert_array_equal(entry.min, offsets.min(axis=0))
        np.testing.assert_array_equal(entry.max, offsets.max(axis=0))
        moved += weight * offsets * np.array(gltf.nodes[0].scale)
    expected = model.vertices(np.zeros((1, 6)), weights[None], POSE[None])[0] * (1, -1, 1)
    np.testing.assert_allclose(moved, expected, atol=4 * STEP)


def test_glb_has_vertex_colors_where_there_is_no_texture(
    model: MorphableModel, tmp_path: Path
) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (model.num_vertices, 3)).astype(np.uint8)
    surface = Surface(model.mean, model.triangles, frame="model", colors=colors)
    write_mesh(surface, tmp_path / "face.glb")
    gltf = pygltflib.GLTF2().load(tmp_path / "face.glb")
    written = accessor(gltf, gltf.meshes[0].primitives[0].attributes.COLOR_0)
    np.testing.assert_array_equal(written[:, 2::-1], colors)


def test_glb_splits_seams_only(model: MorphableModel, tmp_path: Path) -> None:
    surface = with_seam(model)
    write_mesh(surface, tmp_path / "face.glb")
    gltf = pygltflib.GLTF2().load(tmp_path / "face.glb")
    attributes = gltf.meshes[0].primitives[0].attributes
    triangles = accessor(gltf, gltf.meshes[0].primitives[0].indices).reshape(-1, 3)
    vertices = placed(gltf, attributes.POSITION)[triangles]
    np.testing.assert_allclose(vertices, surface.vertices[surface.triangles], atol=STEP)
    assert surface.uv is not None
    assert surface.uv_triangles is not None
    uv = accessor(gltf, attributes.TEXCOORD_0)[triangles] * (1, -1) + (0, 1)
    np.testing.assert_allclose(uv, surface.uv[surface.uv_triangles], atol=1e-6)
    # The shading does not show the seam: both sides have the whole vertex's normal.
    normals = np.zeros((model.num_vertices, 3), np.float32)
    given = accessor(gltf, attributes.NORMAL)[triangles]
    normals[surface.triangles] = given
    np.testing.assert_array_equal(given, normals[surface.triangles])
    assert_outward(surface.vertices, surface.triangles, normals)


def test_scale_changes_the_unit(model: MorphableModel, tmp_path: Path) -> None:
    surface = Surface(model.mean, model.triangles, frame="model", scale=0.001)
    write_mesh(surface, tmp_path / "face.glb")
    gltf = pygltflib.GLTF2().load(tmp_path / "face.glb")
    vertices = placed(gltf, gltf.meshes[0].primitives[0].attributes.POSITION)
    np.testing.assert_allclose(np.ptp(vertices[:, 1]), 0.2, atol=1e-5)  # metres


def test_colors_under_vertices() -> None:
    photo = np.zeros((5, 7, 3), np.uint8)
    photo[2, 3], photo[2, 4], photo[0, 6] = (10, 20, 200), (30, 40, 100), (1, 2, 3)
    points = [(3, 2, 9), (3.5, 2, 0), (99, -5, 0)]
    expected = [(10, 20, 200), (20, 30, 150), (1, 2, 3)]
    np.testing.assert_array_equal(sample_vertex_colors(photo, np.array(points)), expected)
    assert sample_vertex_colors(photo, np.zeros((0, 3))).shape == (0, 3)
    with pytest.raises(InvalidInputError, match="image"):
        sample_vertex_colors(photo[..., 0], np.array(points))


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
def test_unwritable_target_changes_nothing(
    model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    surface = posed(model)
    before = {path: path.read_bytes() for path in write_mesh(surface, tmp_path / f"face{suffix}")}
    other = Surface(model.mean, model.triangles, uv=model.uv, texture=TEXTURE[::-1])

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        write_mesh(other, tmp_path / f"face{suffix}")
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    # A folder in the way is refused too.
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write_mesh(surface, tmp_path / f"folder{suffix}")


def test_obj_is_renamed_after_all_its_files_are_complete(
    model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    real = files._publish

    def watched(temporary: Path, path: Path) -> None:
        waiting = [other.name for other in tmp_path.iterdir() if other.suffix == ".part"]
        assert len(waiting) + len(published) == 3
        published.append(path.name)
        real(temporary, path)

    monkeypatch.setattr(files, "_publish", watched)
    write_mesh(posed(model), tmp_path / "face.obj")
    assert sorted(published) == ["face.mtl", "face.obj", "face.png"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vertices": np.zeros((4, 2))}, "vertices: expected shape"),
        ({"vertices": np.full((4, 3), np.nan)}, "vertices: expected finite"),
        ({"triangles": [[0, 1, 4]]}, "triangles: expected indices 0 to 3"),
        ({"frame": "world"}, "frame: expected one of"),
        ({"texture": TEXTURE}, "uv: needed"),
        ({"uv": np.zeros((2, 2))}, "uv_triangles: expected indices 0 to 1"),
        ({"uv": np.zeros((4, 2)), "texture": TEXTURE / 255}, "texture: expected uint8"),
        ({"colors": np.zeros((3, 3), np.uint8)}, "colors: expected shape"),
        ({"morph_targets": {"smile": np.zeros((3, 3))}}, r"morph_targets\['smile'\]"),
        ({"scale": 0.0}, "scale: expected a positive number"),
        ({"weights": {"smile": 1.0}}, "weights: expected names of morph targets, got 'smile'"),
        (
            {"weights": {"a": np.nan}, "morph_targets": {"a": np.zeros((4, 3))}},
            "weights: expected finite",
        ),
        ({"parts": {"skin": [1, 0]}}, r"parts\['skin'\]: expected booleans of shape \(1,\)"),
        ({"parts": {"a": [True], "b": [True]}}, "parts: expected no triangle in two"),
    ],
)
def test_bad_surfaces_are_named(fields: dict[str, object], message: str) -> None:
    good: dict[str, object] = {"vertices": np.eye(4, 3), "triangles": [[0, 1, 2]]}
    with pytest.raises(InvalidInputError, match=message):
        Surface(**(good | fields))  # type: ignore[arg-type]


def test_model_frame_surface_is_the_model(model: MorphableModel) -> None:
    surface = model_surface(model, np.ones(6), np.ones(3), scale=0.001)
    assert surface.frame == "model"
    np.testing.assert_array_equal(
        surface.vertices, model.vertices(np.ones((1, 6)), np.ones((1, 3)))[0]
    )
    np.testing.assert_array_equal(surface.morph_targets["expression1"], model.expression_basis[1])


def test_unknown_ending(tmp_path: Path) -> None:
    surface = Surface(np.eye(4, 3), np.array([[0, 1, 2]]))
    with pytest.raises(InvalidInputError, match=r"\.obj, \.ply or \.glb"):
        write_mesh(surface, tmp_path / "face.stl")


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
def test_default_model_loads_back_in_trimesh(tmp_path: Path, suffix: str) -> None:
    """Same vertices, texture coordinates and triangles, right-handed, normals outward."""
    import trimesh

    model = MorphableModel.default()
    pose = np.array([[1.5, 0, 0, 300], [0, -1.5, 0, 200], [0, 0, 1.5, 5.0]])
    surface = model_surface(
        model, np.zeros(model.num_shape), np.zeros(model.num_expression), pose, texture=TEXTURE
    )
    write_mesh(surface, tmp_path / f"face{suffix}")
    loaded = trimesh.load(tmp_path / f"face{suffix}", process=False, force="mesh")
    # By corner: along the seams of the layout trimesh has a vertex for each of its places, and the
    # parts of a GLB come in an order of their own.
    corners = surface.vertices[model.triangles] * (1, -1, 1)
    found = loaded.vertices[loaded.faces]
    apart, order = cKDTree(found.reshape(-1, 9)).query(corners.reshape(-1, 9))
    assert apart.max() < (3 * STEP if suffix == ".glb" else 1e-3)
    assert len(found) == len(corners) and len(np.unique(order)) > 0.999 * len(corners)
    if suffix != ".glb":  # trimesh packs the textures of its parts anew: test_glb reads them
        places = loaded.visual.uv[loaded.faces][order]
        same = np.abs(places - model.uv[model.uv_triangles]).max(axis=(1, 2)) < 1e-4
        assert same.mean() > 0.999
    # The jaw's ends look to the sides, chin and nose's tip to the viewer.
    rows = np.zeros(model.num_vertices, int)
    rows[model.triangles] = loaded.faces[order]
    normals = loaded.vertex_normals[rows[model.landmark_rows]]
    assert normals[2, 0] < 0 < normals[14, 0]
    assert normals[30, 2] > 0.5
    assert normals[8, 2] > 0 > normals[8, 1]
    assert volume(loaded.vertices - loaded.vertices.mean(axis=0), np.asarray(loaded.faces)) > 0


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 1, 0)])
def test_textures_of_names_that_differ_in_blanks_stay_apart(model, tmp_path, order):
    names = ("my photo", "my_photo", "My  photo", "my\tphoto")
    textures = {}
    for index in order:
        texture = np.full((8, 8, 3), index, np.uint8)
        surface = model_surface(model, np.zeros(6), np.zeros(3), POSE, texture=texture)
        for ending in ("obj", "ply"):
            written = write_mesh(surface, tmp_path / f"{names[index]}.{ending}")
            textures[index, ending] = next(path for path in written if path.suffix == ".png")
            assert not any(blank in textures[index, ending].name for blank in " \t")
    assert len({path.name.casefold() for path in textures.values()}) == len(set(order))
    assert textures[order[0], "obj"].name.casefold() == "my_photo.png" or order[2:] == (1, 0)
    for (index, ending), path in textures.items():
        assert (cv2.imread(str(path)) == index).all()
        mesh = (tmp_path / f"{names[index]}.{ending}").read_bytes()
        material = path.with_suffix(".mtl") if ending == "obj" else path
        assert f" {material.name}\n".encode() in mesh
        if ending == "obj":
            assert f"map_Kd {path.name}\n" in material.read_text()
