"""A run folder becomes the files that ship, with figures of the shipped file itself."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.shared_material import REPOSITORY

torch = pytest.importorskip("torch")
yaml = pytest.importorskip("yaml")

from helpers.morphable_data import GENERIC_FILE  # noqa: E402
from helpers.synergy_networks import CONVENTION, exported, small_network  # noqa: E402

from facegeo import FaceGeometry  # noqa: E402
from facegeo.cli import main  # noqa: E402
from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError  # noqa: E402
from facegeo.export import publishing  # noqa: E402
from facegeo.networks.regressor import network_state  # noqa: E402
from facegeo.networks.synergy.weights import read_weights  # noqa: E402
from facegeo.training.landmarks.config import read_config  # noqa: E402
from facegeo.zoo import shipped  # noqa: E402
from models.release import ship_landmarks as script  # noqa: E402
from models.release.record import fill, mean_weights, read_template, write_record  # noqa: E402
from models.release.stages import Stages  # noqa: E402

FACES = 24


@pytest.fixture
def assets(tmp_path, monkeypatch, cache) -> Path:
    folder = tmp_path / "assets"
    folder.mkdir()
    shutil.copy(shipped.ASSETS / "facegeo-head.npz", folder)
    monkeypatch.setattr(shipped, "ASSETS", folder)
    monkeypatch.setattr(shipped, "further_roots", lambda: (tmp_path / "models",))
    return folder


@pytest.fixture
def few(dev, shared, tmp_path) -> Path:
    """Some dev photos, spread over the yaw ranges, in a folder of the data set's layout."""
    folder = tmp_path / "dev"
    folder.mkdir()
    chosen = np.argsort(np.abs(dev.yaw_deg))[:: len(dev) // FACES][:FACES]
    names = [dev.names[k] for k in chosen]
    source = shared / "data/aflw2000_dev"
    with np.load(source / "annotations.npz") as archive:
        cut = {key: archive[key] for key in archive.files}
    cut = {key: value[chosen] for key, value in cut.items()}
    np.savez(folder / "annotations.npz", **cut)
    members = {"crops.tar": names, "images.tar": [*names]}
    members["images.tar"] += [f"{Path(name).stem}.mat" for name in names]
    for archive, wanted in members.items():
        with tarfile.open(source / archive) as old, tarfile.open(folder / archive, "w") as new:
            for name in wanted:
                member = old.getmember(name)
                new.addfile(member, old.extractfile(member))
    return folder


@pytest.fixture
def backgrounds(tmp_path) -> Path:
    path = tmp_path / "noise.tar"
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as archive:
        for k in range(6):
            noise = cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (160, 120))
            data = cv2.imencode(".png", noise)[1].tobytes()
            info = tarfile.TarInfo(f"{k}.png")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MODELS = sorted(p.parent.name for p in REPOSITORY.glob("models/synergy-*/card.template.md"))
SIDES = {"synergy-mbv2": 96, "synergy-fast": 96}


def run_folder(path: Path, network, errors: list[float], offset_px=None) -> Path:
    """What ``facegeo train`` leaves behind."""
    path.mkdir()
    np.savez(path / "weights.npz", **network_state(network))
    data = {
        "labels": "/tmp/made/labels_a.npz",
        "pictures": "/srv/shared/data/aflw/crops.tar",
        "backgrounds": "/srv/noise.tar",
        "dev": "",
        "negatives": 0.1,
        "morphable_model": str(GENERIC_FILE),
        "offset_px": offset_px,
    }
    config = {"run": str(path), "data": data, "seed": 3, "initial": "/x/runs/first/weights.npz"}
    config["teacher"] = "synergy-mbv2"
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (path / "environment.json").write_text('{"torch": "2"}')
    lines = []
    for epoch, error in enumerate(errors, 1):
        entry = {"epoch": epoch}
        if epoch % 2:
            entry["dev"] = {"nme_original_refined": error, "nme_reannotated_refined": error - 0.5}
        lines.append(json.dumps(entry) + "\n")
    (path / "metrics.jsonl").write_text("".join(lines))
    return path


def test_a_run_becomes_a_shipped_model(assets, few, backgrounds, tmp_path, capsys, monkeypatch):
    network, name = small_network(), "synergy-fast"
    first = run_folder(tmp_path / "first", network, [9, 7, 5])
    last = run_folder(tmp_path / "last", network, [4.5, 4, 3.5, 3.4], [-0.3, -0.2])
    out = tmp_path / "model"
    # Random weights magnify rounding.
    monkeypatch.setitem(publishing.TOLERANCES, "int8", publishing.Tolerance(9.0, 9.0))
    places = ["--dev", str(few), "--backgrounds", str(backgrounds), "--out", str(out)]
    places += ["--calibration", str(few / "crops.tar")]
    script.main([name, str(first), str(last), *places, "--mirrored"])

    weights = tmp_path / "models" / name / "weights"
    assert {p.name for p in weights.iterdir()} == {
        f"{name}.onnx",
        f"{name}-int8.onnx",
        f"{name}.json",
        f"{name}-bridge.npz",  # the run's network speaks another face model than the package's
    }
    card = FaceGeometry(name).card
    assert card.name == name and card.source == f"facegeo, models/{name}"
    assert set(card.files) == {"network", "network-int8", "morphable", "bridge"}
    assert "non-commercial" in card.licence and card.crop_convention == "exact"
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["epochs"] == 7 and card.crop_size == 120
    assert figures["onnx"]["largest_relative_difference_from_pytorch"] < 1e-4
    assert figures["onnx"]["sha256"] == card.files["network"].sha256
    assert figures["int8"]["sha256"] == card.files["network-int8"].sha256
    assert 0 < figures["int8"]["parity"]["landmarks_px_mean"] < 9
    areas = figures["presence_roc_area"]
    assert set(areas) == {"crops", "photos"} and set(areas["crops"]) == {
        "backgrounds",
        "shifted",
        "turned",
    }

    capsys.readouterr()
    command = ["eval", "aflw2000-3d", "--data", str(few), "--model", name, "--json"]
    command += ["--backend", "onnxruntime", "--precision", "fp32"]
    assert main(command) == 0
    theirs = json.loads(capsys.readouterr().out)
    ours = figures["aflw2000_3d_dev"]["crops"]
    assert ours["nme_percent"]["original"] == theirs["nme_percent"]["original"]
    assert ours["pose_mae_deg_exact"] == theirs["pose_mae_deg_exact"]
    assert ours["nme_percent_coarse"] != ours["nme_percent"]

    text = (out / "card.md").read_text()
    assert f"{ours['nme_percent']['original']['mean_of_bins']:.3f}" in text
    assert text.startswith(f"# {name}:")
    everything = text + (out / "stage-2.yaml").read_text() + (out / "metrics.json").read_text()
    assert "/tmp" not in everything and "/srv" not in everything and "/x/" not in everything
    assert not (out / "stage-3.yaml").exists()
    config = yaml.safe_load((out / "stage-1.yaml").read_text())
    assert config["data"]["pictures"] == "data/aflw/crops.tar"
    assert config["data"]["labels"] == "data/labels_a.npz"
    assert config["initial"] == "runs/first/weights.npz"
    assert config["teacher"] == "synergy-mbv2"
    assert cv2.imread(str(out / "curve.jpg")).shape == (720, 960, 3)
    again = read_weights(weights / f"{name}.onnx", CONVENTION)
    assert again.config.mirrored and '"mirrored": true' in text
    head = network.heads["pose"].weight
    assert torch.equal(again.heads["pose"].weight, head.half().float())
    assert torch.equal(again.param_mean, network.param_mean)


def test_stages_go_on_from_runs_and_from_the_record_of_what_shipped(tmp_path):
    network = small_network()
    runs = [run_folder(tmp_path / name, network, [5, 4, 3]) for name in "abc"]
    before = Stages().followed_by(runs[0]).followed_by(runs[1])
    assert before.epochs == 6 and list(before.named()) == ["stage-1.yaml", "stage-2.yaml"]
    assert [entry["epoch"] for entry in before.history] == [1, 3, 4, 6]
    figures = {"epochs": before.epochs, "history": before.history}
    write_record(tmp_path / "model", before.named(), figures, b"", "")
    recorded = Stages.recorded(tmp_path / "model")
    assert recorded == before
    after = recorded.followed_by(runs[2])
    assert after.epochs == 9 and after.configs[-1]["run"] == "runs/c"
    assert [entry["nme_original_refined"] for entry in after.history] == [5, 3] * 3


def test_the_mean_of_what_ships_and_of_what_shipped_before(
    assets, few, backgrounds, tmp_path, monkeypatch
):
    name, out = "synergy-fast", tmp_path / "model"
    monkeypatch.setitem(publishing.TOLERANCES, "int8", publishing.Tolerance(9.0, 9.0))
    places = [few, backgrounds, few / "crops.tar", out]
    first = small_network()
    last = copy.deepcopy(first)
    with torch.no_grad():
        last.heads["pose"].bias += 0.5
    script.ship(name, [run_folder(tmp_path / "first", first, [5])], *places)
    runs = [run_folder(tmp_path / "last", last, [4])]
    figures = script.ship(name, runs, *places, continued=True, averaged=True)

    weights = tmp_path / "models" / name / "weights" / f"{name}.onnx"
    again = read_weights(weights, CONVENTION).state_dict()
    bias = "heads.pose.bias"
    torch.testing.assert_close(again[bias], first.state_dict()[bias] + 0.25)
    assert figures["averaged_with_stage"] == 1 and figures["epochs"] == 2
    text = " ".join((out / "card.md").read_text().split())
    assert "2 stages, each from the weights of the one before; what ships is the mean" in text
    with pytest.raises(InvalidInputError, match="averaged"):
        script.ship(name, runs, *places, averaged=True)


def test_only_networks_of_the_same_layers_have_a_mean():
    with pytest.raises(InvalidInputError, match="same layers"):
        mean_weights(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))


def test_what_shipped_before_must_be_recorded(assets, tmp_path):
    run = run_folder(tmp_path / "run", small_network(), [5])
    with pytest.raises(UnreadableFileError, match=r"metrics\.json"):
        script.ship("synergy-fast", [run], *[tmp_path] * 4, continued=True)


def test_a_network_that_onnx_changes_is_refused(assets, few, backgrounds, tmp_path):
    """Refused before anything is written."""
    network = small_network()
    run = run_folder(tmp_path / "run", network, [5])
    with torch.no_grad():
        network.heads["pose"].bias += 1e-2
    other = exported(network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "regressor_onnx", lambda *_, **__: other)
        with pytest.raises(CorruptFileError, match="differs from PyTorch"):
            script.ship(
                "synergy-fast", [run], few, backgrounds, few / "crops.tar", tmp_path / "model"
            )
    assert not (tmp_path / "model").exists() and len(list(assets.iterdir())) == 1


def test_a_network_of_another_face_model_is_refused(assets, tmp_path):
    network = small_network()
    network.morphable_model = "another"
    run = run_folder(tmp_path / "run", network, [5])
    with pytest.raises(InvalidInputError, match="another"):
        script.ship("synergy-fast", [run], tmp_path, tmp_path, tmp_path, tmp_path)


def test_a_network_is_not_mirrored_about_an_unknown_line(assets, tmp_path):
    run = run_folder(tmp_path / "run", small_network(), [5])
    with pytest.raises(InvalidInputError, match="offset_px"):
        script.ship("synergy-fast", [run], tmp_path, tmp_path, tmp_path, tmp_path, mirrored=True)


def test_a_model_without_a_folder_is_refused(assets, tmp_path):
    with pytest.raises(UnreadableFileError, match=r"another/card\.template\.md"):
        script.ship("another", [tmp_path], tmp_path, tmp_path, tmp_path, tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_the_card_of_each_landmark_network_can_be_made(name):
    """From the figures that synergy-mbv2 shipped with; its own card comes out as it is kept."""
    figures = json.loads((REPOSITORY / "models/synergy-mbv2/metrics.json").read_text())
    count = len([*(REPOSITORY / "models/synergy-mbv2").glob("stage-*.yaml")])
    stages = [{"seed": 0, "sizes": [[0.0, SIDES["synergy-mbv2"]]]}] * count
    network = read_weights(shipped.ASSETS / "synergy-mbv2.onnx", CONVENTION)
    trained = read_config(REPOSITORY / "models/synergy-mbv2/train.yaml").network
    network.config = dataclasses.replace(network.config, inverse=trained.inverse)
    template = read_template(REPOSITORY / "models" / name)
    text = script.card_text(template, figures | {"model": name}, stages, network)
    assert "**non-commercial research only" in text and "{" not in text.replace('{"ada', "", 1)
    kept = REPOSITORY / "models" / name / "card.md"
    if name == "synergy-mbv2":
        assert text == kept.read_text(encoding="utf-8")


def test_a_template_that_asks_for_the_unknown_is_refused():
    with pytest.raises(InvalidInputError, match="colour"):
        fill("{name} {colour}", {"name": "a"})
    assert fill("{name}", {"name": "{size}", "size": "9"}) == "{size}"


def test_crops_have_the_side_that_the_last_run_ended_with():
    assert script.crop_size({"sizes": [[0.0, 64], [0.5, 96]]}) == 96
    assert script.crop_size({"seed": 0}) == 120


@pytest.mark.parametrize("name", MODELS)
def test_each_training_configuration_can_be_read(name):
    config = read_config(REPOSITORY / "models" / name / "train.yaml")
    assert config.run == f"runs/{name}" and config.sizes[-1][1] == SIDES[name]
