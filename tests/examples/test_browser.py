"""The page in a real browser, with the models that ship: its faces are Python's."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from devtools import Browser, find_browser

pytest.importorskip("av", reason="video needs the extra [video]")
pytest.importorskip("websockets", reason="driving a browser needs websockets: the extra [dev]")

from facegeo import FaceGeometry
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.geometry.crop import crop_faces
from facegeo.morphable import MorphableModel
from facegeo.morphable.bridge import ParameterBridge
from facegeo.morphable.model import CageModel
from facegeo.render import coarse_mesh, rasterize
from facegeo.surface.dense import dense_faces
from facegeo.zoo.shipped import ASSETS
from facegeo.zoo.store import find, install

#: Photo pixels: what the page and Python may differ by on the same pixels.
TOLERANCE_PX = 0.5

#: Keeps what the page tells about each frame.
RECORDER = """
window.seen = [];
document.addEventListener("facegeo-frame", ({ detail }) => window.seen.push({
  ...detail,
  faces: detail.faces.map((face) => ({
    ...face, landmarks: [...face.landmarks], vertices: [...(face.vertices ?? [])],
    params: [...face.params], presence: Number.isNaN(face.presence) ? null : face.presence,
  })),
}));
"""
READY = "document.body.dataset.state === 'ready'"
FAILED = "!document.getElementById('error').hidden"


@pytest.fixture(scope="module")
def program() -> str:
    found = find_browser()
    if found is None:
        pytest.skip("no Chromium is installed (apt-get install chromium, or FACEGEO_CHROMIUM)")
    return found


@pytest.fixture(scope="module")
def prepare(example):
    return example("browser/prepare")


@pytest.fixture(scope="module")
def runtime(prepare) -> Path:
    """ONNX Runtime Web; tests do not download it."""
    chosen = os.environ.get("FACEGEO_ORT_WEB")
    path = Path(chosen) if chosen else prepare.cached_runtime()
    if not path.exists():
        pytest.skip(
            f"{prepare.RUNTIME} is not here (npm pack it and set FACEGEO_ORT_WEB to the .tgz)"
        )
    return path


class Page:
    """The page, opened in a browser."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        browser.open(url, RECORDER)
        browser.wait_for(f"{READY} || {FAILED}", 120)

    def text(self, element: str) -> str:
        return self.browser.evaluate(f"document.getElementById('{element}').textContent")

    def open_files(self, paths: list[Path], timeout_s: float = 180) -> list[dict[str, Any]]:
        """Open files as a user would, wait for the end, and give what the page found."""
        self.browser.evaluate("void (window.seen = [])")
        self.browser.choose_files("#files", paths)
        self.browser.wait_for("document.body.dataset.state === 'running' || window.seen.length")
        self.browser.wait_for(READY, timeout_s)
        return self.seen()

    def seen(self) -> list[dict[str, Any]]:
        return json.loads(self.browser.evaluate("JSON.stringify(window.seen)"))


def served(example, folder: Path) -> Iterator[str]:
    service = example("browser/serve").server(folder, 0)
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{service.server_port}/"
    service.shutdown()
    service.server_close()
    thread.join()


@pytest.fixture(scope="module")
def address(program, runtime, prepare, example, tmp_path_factory):
    """Where the page is served that the documented commands make."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(tmp_path_factory.mktemp("empty")))
        assert prepare.main([str(folder), "--runtime", str(runtime)]) == 0
    yield from served(example, folder)


@pytest.fixture(scope="module")
def page(program, address) -> Iterator[Page]:
    with Browser(program) as browser:
        yield Page(browser, address)


@pytest.fixture(scope="module")
def python() -> FaceGeometry:
    """Python on the same float32 networks."""
    return FaceGeometry(backend="onnxruntime", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def released(installed_cache) -> FaceGeometry:
    """The same with networks of other projects: crops of 120 pixels, no presence, no mesh."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGEO_CACHE_DIR", str(installed_cache))
        predictor = FaceGeometry(
            "mb05", detector="faceboxes", backend="onnxruntime", device="cpu", precision="fp32"
        )
        predictor.detector  # noqa: B018 - opened here, while the cache is set
    return predictor


@pytest.fixture(scope="module")
def clip(shared) -> Path:
    return shared / "data" / "photos" / "talking_head.mp4"


@pytest.fixture(scope="module")
def followed(python, clip) -> list:
    """What Python says of each frame of the clip, not smoothed, as the page does not smooth."""
    return frames_of(python, clip)


def frames_of(python: FaceGeometry, clip: Path) -> list:
    with python.stream(clip, smooth=False) as stream:
        return list(stream)


def points(face: dict[str, Any], name: str = "landmarks") -> np.ndarray:
    return np.array(face[name], np.float64).reshape(-1, 3)


def test_the_clip_is_followed_as_python_follows_it(page, followed, tmp_path):
    """Frame by frame without loss: detector, crops, networks, regions, inverse transform, mesh."""
    assert_followed(page, followed, tmp_path)
    assert "synergy-mbv2" in page.text("models")


def test_so_is_it_with_networks_of_other_projects(
    program, runtime, prepare, example, released, clip, installed_cache, tmp_path, monkeypatch
):
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(installed_cache))
    prepare.prepare(tmp_path / "page", "mb05", "faceboxes", runtime)
    with Browser(program) as browser:
        for address in served(example, tmp_path / "page"):
            frames = frames_of(released, clip)
            # No dense bases: the page fits the head, as dense_faces does.
            assert_followed(Page(browser, address), frames, tmp_path, coarse=False)


def assert_followed(page: Page, followed: list, tmp_path: Path, coarse: bool = True) -> None:
    paths = [tmp_path / f"frame{frame.index}.png" for frame in followed]
    for path, frame in zip(paths, followed, strict=True):
        cv2.imwrite(str(path), frame.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    seen = page.open_files(paths)
    assert page.text("error") == "" and page.text("status").endswith("55 frames.")
    assert [frame["name"] for frame in seen] == [path.name for path in paths]  # 2 before 10
    for ours, theirs in zip(followed, seen, strict=True):
        (face,), (other,) = ours.faces, theirs["faces"]
        assert other["id"] == face.track_id == 1
        assert np.abs(points(other) - face.landmarks).max() < TOLERANCE_PX
        assert abs(other["pose"]["yaw"] - face.pose.yaw) < 0.1
        assert abs(other["pose"]["pitch"] - face.pose.pitch) < 0.1
        assert abs(other["pose"]["roll"] - face.pose.roll) < 0.1
    dense = dense_faces([frame.faces[0] for frame in followed[::9]], coarse=coarse)
    meshes = small_meshes(dense.model, dense.shape, dense.expression, dense.affine)
    for vertices, theirs in zip(meshes, seen[::9], strict=True):
        mesh = points(theirs["faces"][0], "vertices")
        assert np.abs(mesh - vertices).max() < TOLERANCE_PX


def small_meshes(model: MorphableModel, *coefficients: np.ndarray) -> np.ndarray:
    """The vertices that a page has of a model, by Python: a head's low detail, else a few."""
    if isinstance(model, CageModel):
        return CageModel(model.cage, "low", model.key).vertices(*coefficients)
    return model.vertices(*coefficients)[:, coarse_mesh(model.mean, model.triangles)[0]]


def test_several_faces_of_a_photo(page, python, shared, tmp_path):
    """Detector boxes of all sizes, a photo that is scaled down first, regions beyond its border."""
    photo = cv2.imread(str(sorted((shared / "data" / "photos").glob("*.jpg"))[0]))
    photo = cv2.resize(photo, (1500, 1500 * photo.shape[0] // photo.shape[1]))
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    (frame,) = page.open_files([tmp_path / "photo.png"])
    with python.stream([photo], smooth=False) as stream:
        (ours,) = stream
    assert len(frame["faces"]) == len(ours.faces) >= 1
    for face in ours.faces:
        away = [np.abs(points(other) - face.landmarks).max() for other in frame["faces"]]
        assert min(away) < TOLERANCE_PX


def test_the_video_file_itself_is_played(page, python, clip, followed):
    """The browser decodes: its colours differ by a little, so do landmarks; times are right."""
    if not page.browser.evaluate("document.createElement('video').canPlayType('video/mp4')"):
        pytest.skip("this browser plays no MP4")
    seen = page.open_files([clip])
    assert page.text("error") == "" and len(seen) >= 2
    away = []
    for frame in seen:
        image = followed[round(25 * frame["timestamp"])].image
        (face,) = frame["faces"]
        points_here = points(face)
        again = _measured(python, image, face["roi"])
        away.append(np.abs(points_here - again).max())
    assert max(away) < 1.5 and np.median(away) < TOLERANCE_PX


def _measured(python: FaceGeometry, image: np.ndarray, roi: list[float]) -> np.ndarray:
    rois = np.array([roi], np.float32)
    crops = crop_faces(image, rois, python.crop_size)
    return python.predict_crops(crops, rois).landmarks[0]


def test_bad_files_are_told_and_the_page_goes_on(page, sample_photo, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "bad.txt").write_text("no picture")
    cv2.imwrite(str(tmp_path / "good.png"), sample_photo)
    browser = page.browser
    for name, message in (
        ("bad.png", "bad.png: not a picture"),
        ("bad.mp4", "bad.mp4: this browser cannot play it"),
        ("bad.txt", "bad.txt: expected a video or pictures"),
    ):
        browser.choose_files("#files", [tmp_path / name])
        browser.wait_for(f"document.getElementById('error').textContent.startsWith({message!r})")
        browser.wait_for(READY)
    (frame,) = page.open_files([tmp_path / "good.png"])
    assert len(frame["faces"]) == 1 and page.text("error") == ""
    assert browser.evaluate(FAILED) is False


def test_the_camera_is_followed_until_it_is_stopped(program, address, clip_frames, tmp_path):
    """A camera made of the clip's frames."""
    movie = tmp_path / "camera.mjpeg"
    movie.write_bytes(b"".join(cv2.imencode(".jpg", image)[1].tobytes() for image in clip_frames))
    flags = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={movie}",
    ]
    with Browser(program, flags) as browser:
        page = Page(browser, address)
        browser.evaluate("document.getElementById('camera').click()")
        browser.wait_for("window.seen.length >= 3", 120)
        browser.evaluate("document.getElementById('stop').click()")
        browser.wait_for(READY)
        seen = page.seen()
        assert browser.evaluate("document.getElementById('video').srcObject") is None
        assert page.text("status") == "Stopped."
    ids = {face["id"] for frame in seen for face in frame["faces"]}
    assert ids == {1} and all(frame["width"] == clip_frames[0].shape[1] for frame in seen)


def test_a_network_with_presence_and_a_mesh_of_its_own(
    program, runtime, prepare, example, installed_tiny, models, tmp_path, monkeypatch
):
    """A SynergyNet: pixel-exact crops, presence, and vertices from its parameters, not fitted."""
    cache = tmp_path / "cache"
    shutil.copytree(models, cache)
    shutil.copytree(installed_tiny, cache, dirs_exist_ok=True)
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(cache))
    prepare.prepare(tmp_path / "page", "tiny", "faceboxes", runtime)
    width, height, roi = 160, 120, [-10, 5, 231, 246]
    script = f"""import("./pipeline.js").then(async ({{ openPipeline }}) => {{
        const pipeline = await openPipeline(() => {{}});
        const data = Uint8ClampedArray.from({{ length: {4 * width * height} }},
                                            (_, i) => (i * 131) % 251);
        const photo = {{ data, width: {width}, height: {height} }};
        const [face] = await pipeline.measure(photo, [{roi}]);
        return {{ presence: face.presence, landmarks: [...face.landmarks],
                 vertices: [...pipeline.mesh.vertices(face)] }};
    }})"""
    with Browser(program) as browser:
        for address in served(example, tmp_path / "page"):
            found = Page(browser, address).browser.evaluate(script)

    python = FaceGeometry("tiny", backend="onnxruntime", device="cpu", precision="fp32")
    pixels = (np.arange(4 * width * height) * 131 % 251).astype(np.uint8)
    photo = np.ascontiguousarray(pixels.reshape(height, width, 4)[:, :, 2::-1])
    rois = np.array([roi], np.float32)
    batch = python.predict_crops(crop_faces(photo, rois), rois)
    morphable = python.mesh_source.morphable
    rows, _ = coarse_mesh(morphable.mean, morphable.triangles)  # tiny has no low detail
    assert abs(found["presence"] - batch.presence[0]) < 1e-3
    assert np.abs(points(found) - batch.landmarks[0]).max() < 0.05
    vertices = python.reconstruct(batch.params, rois)[0, rows]
    assert np.abs(points(found, "vertices") - vertices).max() < 0.05


def test_other_detectors_and_other_runtimes_are_refused(prepare, models, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    shutil.copytree(models, cache)
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(cache))
    (tmp_path / "ort.tgz").write_bytes(b"no package")
    with pytest.raises(CorruptFileError, match="not the package of onnxruntime-web"):
        prepare.read_runtime(tmp_path / "ort.tgz")
    for name in prepare.RUNTIME_FILES:
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(CorruptFileError, match=r"ort\.wasm\.min\.mjs is not that of"):
        prepare.read_runtime(tmp_path)
    card = find("faceboxes", task="detection").card
    install(dataclasses.replace(card, name="other", architecture="one_stage"), {"network": b"x"})
    with pytest.raises(InvalidInputError, match="the page runs one-stage, faceboxes"):
        prepare.prepare(tmp_path / "page", "mb05", "other", None)


def test_without_models_the_page_says_what_to_do(program, example, tmp_path):
    folder = tmp_path / "page"
    source = Path(example("browser/prepare").__file__).parent
    folder.mkdir()
    for path in (*source.glob("*.js"), source / "index.html", source / "style.css"):
        (folder / path.name).write_bytes(path.read_bytes())
    with Browser(program) as browser:
        for address in served(example, folder):
            page = Page(browser, address)
            assert "prepare.py" in page.text("error")
            assert browser.evaluate("document.getElementById('camera').disabled")


def run_pipeline(program: str, example, folder: Path, script: str) -> Any:
    """What a script gives that has the page's ``pipeline``."""
    script = f"""import("./pipeline.js").then(async ({{ openPipeline }}) => {{
        const pipeline = await openPipeline(() => {{}});
        {script}
    }})"""
    with Browser(program) as browser:
        for address in served(example, folder):
            found = Page(browser, address).browser.evaluate(script, 180)
    return found


HEAD = ASSETS / "facegeo-head.npz"


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return MorphableModel.load(HEAD)


def test_a_head_is_fitted_within_its_limits(
    program, runtime, prepare, example, models, head, tmp_path
):
    """facegeo-head for a network without a face model: as Python fits it, expressions 0 to 1."""
    prepare.prepare(tmp_path / "page", "mb05", "faceboxes", runtime, str(HEAD))
    assert (tmp_path / "page" / "models" / "mesh.bin").stat().st_size < 3_000_000
    rng = np.random.default_rng(0)
    shape = rng.normal(0, 1, (3, head.num_shape)).astype(np.float32)
    expression = np.zeros((3, head.num_expression), np.float32)
    expression[:, rng.choice(head.num_expression, 8)] = rng.uniform(0, 1, (3, 8))
    expression[:, head.expression_names.index("jawOpen")] = (0.5, 2, 2)
    pose = np.tile([[1.5, 0, 0.1, 300], [0, -1.5, 0, 200], [-0.1, 0, 1.5, 5]], (3, 1, 1))
    landmarks = head.landmarks(shape, expression, pose.astype(np.float32))
    landmarks += rng.normal(0, 1, landmarks.shape).astype(np.float32)
    fit = head.fit(landmarks)
    assert (fit.expression == 0).any() and (fit.expression == 1).any()  # limits are reached
    script = f"""const given = {landmarks.reshape(3, -1).tolist()};
        const found = given.map((landmarks) => [...pipeline.mesh.vertices({{ landmarks }})]);
        const start = performance.now();
        for (let i = 0; i < 10; i++) pipeline.mesh.vertices({{ landmarks: given[i % 3] }});
        return {{ found, milliseconds: (performance.now() - start) / 10 }};"""
    result = run_pipeline(program, example, tmp_path / "page", script)
    expected = small_meshes(head, fit.shape, fit.expression, fit.pose)
    found = np.array(result["found"]).reshape(3, -1, 3)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.05
    assert result["milliseconds"] < 200  # 15 of a processor to itself


def test_a_bridge_leads_to_the_head(
    program, runtime, prepare, example, models, installed_tiny, head, tmp_path, monkeypatch
):
    """A network that speaks another face model: parameters, depth, pose and mesh are the head's."""
    cache = tmp_path / "cache"
    shutil.copytree(models, cache)
    shutil.copytree(installed_tiny, cache, dirs_exist_ok=True)
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(cache))
    tiny = find("tiny")
    modes = head.num_shape, head.num_expression
    matrix = np.random.default_rng(0).normal(0, 0.2, (51, 12 + sum(modes)))
    matrix[0, :12] = np.eye(3, 4).reshape(-1) * 0.9
    matrix[1:, :12] *= 1e-2
    bridge = ParameterBridge("facegeo-generic", head.name, 40, modes[0], matrix, (0, 1))
    card = dataclasses.replace(
        tiny.card, name="bridged", files={}, num_shape=modes[0], num_expression=modes[1]
    )
    contents = {"network": tiny.read("network"), "morphable": HEAD.read_bytes()}
    install(card, contents | {"bridge": bridge.to_bytes()})
    prepare.prepare(tmp_path / "page", "bridged", "faceboxes", runtime)
    assert (tmp_path / "page" / "models" / "mesh.bin").stat().st_size < 3_000_000

    width, height, roi = 160, 120, [-10, 5, 231, 246]
    script = f"""const data = Uint8ClampedArray.from({{ length: {4 * width * height} }},
                                                     (_, i) => (i * 131) % 251);
        const photo = {{ data, width: {width}, height: {height} }};
        const [face] = await pipeline.measure(photo, [{roi}]);
        const start = performance.now();
        for (let i = 0; i < 20; i++) pipeline.mesh.vertices(face);
        const milliseconds = (performance.now() - start) / 20;
        return {{ params: [...face.params], landmarks: [...face.landmarks], milliseconds,
                 vertices: [...pipeline.mesh.vertices(face)] }};"""
    found = run_pipeline(program, example, tmp_path / "page", script)
    python = FaceGeometry("bridged", backend="onnxruntime", device="cpu", precision="fp32")
    pixels = (np.arange(4 * width * height) * 131 % 251).astype(np.uint8)
    photo = np.ascontiguousarray(pixels.reshape(height, width, 4)[:, :, 2::-1])
    rois = np.array([roi], np.float32)
    batch = python.predict_crops(crop_faces(photo, rois), rois)
    assert np.abs(np.array(found["params"]) - batch.params[0]).max() < 1e-3
    assert (batch.expression == 0).any() and (batch.expression > 0).any()
    assert np.abs(points(found) - batch.landmarks[0]).max() < 0.05
    vertices = small_meshes(head, batch.shape, batch.expression, batch.affine)[0]
    assert np.abs(points(found, "vertices") - vertices).max() < 0.05
    assert found["milliseconds"] < 33


def test_the_mesh_is_drawn_on_the_face_and_nowhere_else(page, python, sample_photo, tmp_path):
    """By WebGL: what is nearer hides the rest, and it can be switched off."""
    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    browser = page.browser

    def switch(name: str, on: bool) -> None:
        browser.evaluate(f"document.getElementById('show-{name}').checked = {int(on)} > 0")

    def shown(mesh: bool) -> np.ndarray:
        for name, wanted in (("mesh", mesh), ("landmarks", False), ("label", False)):
            switch(name, wanted)
        page.open_files([tmp_path / "photo.png"])
        content = browser.evaluate("document.getElementById('stage').toDataURL('image/png')")
        data = np.frombuffer(base64.b64decode(content.split(",")[1]), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR).astype(int)

    try:
        plain, drawn = shown(False), shown(True)
    finally:
        for name in ("mesh", "landmarks", "label"):
            switch(name, True)
    assert "no WebGL" not in page.text("models")
    assert np.abs(plain - sample_photo).max() <= 1
    changed = np.abs(drawn - plain).max(axis=2) > 8
    (face,) = python(sample_photo)
    dense = dense_faces([face])
    outline = rasterize(dense.vertices, dense.model.triangles, *sample_photo.shape[:2]).covered
    assert changed[outline].mean() > 0.85
    near = cv2.dilate(outline.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert not changed[~near].any()


def test_without_webgl_the_mesh_is_edges(program, address, sample_photo, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), sample_photo)
    with Browser(program, ["--disable-3d-apis"]) as browser:
        page = Page(browser, address)
        assert "edges only: this browser has no WebGL 2" in page.text("models")
        (frame,) = page.open_files([tmp_path / "photo.png"])
        assert len(frame["faces"]) == 1 and page.text("error") == ""
