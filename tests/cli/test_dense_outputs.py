"""Meshes, maps and textures from the command line, read back with other libraries."""

import json

import cv2
import numpy as np
import pytest
from helpers.gltf_reader import assert_valid

from facegeo import FaceGeometry
from facegeo.cli import main
from facegeo.morphable import MorphableModel
from facegeo.zoo.shipped import ASSETS


@pytest.fixture(scope="module")
def written(installed_cache, sample_photo, tmp_path_factory):
    """All that can be drawn and saved of the sample photo, of a network without dense bases."""
    folder = tmp_path_factory.mktemp("dense")
    cv2.imwrite(str(folder / "photo.png"), sample_photo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(installed_cache))
        drawn = "mesh,wireframe,depth,pncc,uv,landmarks"
        command = ["predict", str(folder / "photo.png"), "--out", str(folder / "out")]
        command += ["--model", "mb05"]
        assert main([*command, "--draw", drawn, "--save", "obj,ply,glb"]) == 0
    return folder / "out"


def test_every_file_is_there(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "photo.faces.0.glb",
        "photo.faces.0.mtl",
        "photo.faces.0.obj",
        "photo.faces.0.ply",
        "photo.faces.0.png",
        "photo.faces.0.uv.png",
        "photo.faces.depth.png",
        "photo.faces.json",
        "photo.faces.pncc.png",
        "photo.faces.png",
    ]


def test_maps_cover_the_face_and_nothing_else(written, sample_photo):
    face = json.loads((written / "photo.faces.json").read_text())["faces"][0]
    points = np.rint(np.array(face["landmarks"])[27:48, :2]).astype(int)
    depth = cv2.imread(str(written / "photo.faces.depth.png"), cv2.IMREAD_GRAYSCALE)
    code = cv2.imread(str(written / "photo.faces.pncc.png"))
    mesh = cv2.imread(str(written / "photo.faces.png"))
    for picture in (depth, code.max(axis=2)):
        assert (picture[points[:, 1], points[:, 0]] > 0).all()
        assert not picture[-150:].any()
    nose, eye = np.rint(np.array(face["landmarks"])[[30, 36], :2]).astype(int)
    assert depth[nose[1], nose[0]] > depth[eye[1], eye[0]]  # nearer is brighter
    assert (mesh != sample_photo).any(axis=2)[depth > 0].mean() > 0.9


@pytest.mark.parametrize("kind", ["obj", "ply", "glb"])
def test_meshes_load_elsewhere(written, kind):
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.load(written / f"photo.faces.0.{kind}", force="mesh", process=False)
    model = MorphableModel.default()
    # By triangles: trimesh has a vertex more for each place of a vertex in the layout.
    assert mesh.faces.shape == model.triangles.shape
    assert model.num_vertices <= len(mesh.vertices)
    front = mesh.vertices[:, 2] > np.quantile(mesh.vertices[:, 2], 0.9)
    normals = mesh.vertex_normals[front]
    normals = normals[normals.any(axis=1)]  # vertices of no triangle have none
    assert normals[:, 2].mean() > 0.3  # y up, z to the viewer, outward


def test_a_glb_is_an_avatar_or_small(models, sample_photo, tmp_path):
    """By default with the expressions as morph targets; --no-targets leaves them out."""
    head = ASSETS / "facegeo-head.npz"
    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    command = ["predict", str(tmp_path / "photo.png"), "--model", "mb05", "--save", "glb"]
    command += ["--face-model", str(head)]
    names = []
    for option, largest in (("--targets", 8_000_000), ("--no-targets", 3_000_000)):
        assert main([*command, "--out", str(tmp_path / option), option]) == 0
        content = (tmp_path / option / "photo.faces.0.glb").read_bytes()
        assert len(content) <= largest
        names.append(assert_valid(content).names("skin"))
    assert names == [list(MorphableModel.load(head).expression_names), []]


def test_the_record_says_which_model_and_how(written):
    mesh = json.loads((written / "photo.faces.json").read_text())["mesh"]
    assert mesh["model"] == "facegeo-head" and mesh["fitted"] is True
    assert np.shape(mesh["shape"]) == (1, 60) and np.shape(mesh["affine"]) == (1, 3, 4)


@pytest.mark.parametrize(
    "options", [[], ["--coarse-mesh"], ["--face-model", "facegeo-head"]], ids=lambda o: "".join(o)
)
def test_blendshapes_are_those_of_the_mesh_that_is_written(tmp_path, sample_photo, capsys, options):
    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    command = ["predict", str(tmp_path / "photo.png"), "--out", str(tmp_path), "--save", "glb"]
    assert main([*command, "--json", *options]) == 0
    record = json.loads((tmp_path / "photo.faces.json").read_text())
    shown = record["faces"][0]["blendshapes"]
    names = MorphableModel.default().expression_names
    assert shown == dict(zip(names, record["mesh"]["expression"][0], strict=True))
    glb = assert_valid((tmp_path / "photo.faces.0.glb").read_bytes())
    weights = glb.weights("skin")
    assert [weights[name] for name in names] == pytest.approx(list(shown.values()), abs=1e-6)
    assert json.loads(capsys.readouterr().out) == [record]
    # The three are not the same.
    (face,) = FaceGeometry()(sample_photo)
    apart = max(abs(shown[name] - face.blendshapes[name]) for name in names)
    assert (apart < 1e-3) == (not options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coarse-mesh"], "--coarse-mesh: expected a mesh that is drawn or saved, too"),
        (["--face-model", "nobody"], "--face-model: expected a mesh that is drawn or saved, too"),
        (
            ["--coarse-mesh", "--face-model", "facegeo-head", "--draw", "mesh"],
            "--coarse-mesh: expected no --face-model",
        ),
        (["--no-targets", "--save", "obj"], "--no-targets: expected --save glb, too"),
        (["--targets"], "--targets: expected --save glb, too"),
        (["--no-targets", "--save", "glb", "--json"], "--no-targets: expected --save glb, too"),
        (
            ["--coarse-mesh", "--save", "obj", "--model", "mb05"],
            "--coarse-mesh: model 'mb05' has landmarks but no dense mesh",
        ),
        (["--draw", "visibility,pose"], "draw: the landmark network tells no visibility"),
        (["--draw", "uncertainty", "--out", "new"], "draw: the landmark network tells no cov"),
    ],
)
def test_options_without_effect_are_refused(
    models, tmp_path, sample_photo, capsys, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.png", sample_photo)
    assert main(["predict", "photo.png", *options]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"facegeo: error: {message}") and printed.err.count("\n") == 1
    assert printed.out == "" and [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_an_imported_face_model_can_be_fitted_by_name(models, shared, tmp_path, sample_photo):
    source = shared / "upstream/ict_facekit/ict_facekit_light.npz"
    command = ["import", "face-model", str(source), "--name", "ict", "--modes", "20", "10"]
    assert main(command) == 0
    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    command = ["predict", str(tmp_path / "photo.png"), "--out", str(tmp_path), "--save", "ply"]
    assert main([*command, "--face-model", "ict"]) == 0
    record = json.loads((tmp_path / "photo.faces.json").read_text())
    assert record["mesh"]["model"].startswith("ict") and np.shape(record["mesh"]["shape"]) == (
        1,
        20,
    )
    assert main([*command, "--face-model", "nobody"]) == 1


def test_unknown_face_models_are_refused(cache, tmp_path, capsys):
    assert main(["import", "face-model", str(tmp_path), "--name", "x"]) == 1
    assert "not a morphable model of a known layout" in capsys.readouterr().err


def test_the_depth_map_is_saved_as_numbers_and_as_an_image(tmp_path, sample_photo):
    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    command = ["predict", str(tmp_path / "photo.png"), "--out", str(tmp_path), "--save", "depth"]
    assert main([*command, "--draw", "depth"]) == 0
    depth = np.load(tmp_path / "photo.faces.depth.npy", allow_pickle=False)
    assert depth.dtype == np.float32 and depth.shape == sample_photo.shape[:2]
    record = json.loads((tmp_path / "photo.faces.json").read_text())
    image = cv2.imread(str(tmp_path / "photo.faces.depth16.png"), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image == 0, np.isnan(depth))
    stated = record["depth"]
    assert stated["unit"] == "mm"
    millimetres = (image.astype(float) - stated["png_zero"]) / stated["png_per_mm"]
    assert np.nanmax(np.abs(millimetres - depth)[image > 0]) < 0.006
    # The picture for people is another file.
    picture = cv2.imread(str(tmp_path / "photo.faces.depth.png"), cv2.IMREAD_UNCHANGED)
    assert picture.dtype == np.uint8
    # A nose stands out by 15 to 45 millimetres from the outer corners of the eyes ...
    points = np.array(record["faces"][0]["landmarks"])
    at = np.rint(points[:, :2]).astype(int)
    eyes = depth[at[[36, 45], 1], at[[36, 45], 0]].mean()
    assert 15 < depth[at[30, 1], at[30, 0]] - eyes < 45
    # ... and the eyes are as far apart, by the same factor, as eyes are.
    apart = np.linalg.norm(points[45, :2] - points[36, :2]) * stated["mm_per_px"][0]
    assert 75 < apart < 110


def test_the_drawing_can_be_made_fainter(tmp_path, sample_photo):
    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    drawn = {}
    for opacity in ("0", "1"):
        out = tmp_path / opacity
        command = ["predict", str(tmp_path / "photo.png"), "--out", str(out), "--draw", "textured"]
        assert main([*command, "--opacity", opacity]) == 0
        drawn[opacity] = cv2.imread(str(out / "photo.faces.png"))
    assert np.array_equal(drawn["0"], sample_photo)
    assert (drawn["1"] != sample_photo).any()
    with pytest.raises(SystemExit):
        main(["predict", "photo.png", "--opacity", "2"])
