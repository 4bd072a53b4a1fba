"""What is damaged, kind by kind: whole files, and the reader that a user's file reaches."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np


class Kind(NamedTuple):
    """Ending of the files, contents that are whole, and what reads a file."""

    suffix: str
    contents: list[bytes]
    read: Callable[[Path], Any]


def images(_: Path) -> Kind:
    """Eight formats; the decoder goes by the content, whatever the name."""
    from facegeo.images import load_photo

    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48))
    endings = (".jpg", ".png", ".bmp", ".webp", ".tif", ".jp2", ".avif", ".gif")
    made = [cv2.imencode(end, photo)[1].tobytes() for end in endings if cv2.haveImageWriter(end)]
    return Kind(".jpg", made, load_photo)


def mat(_: Path) -> Kind:
    """Numbers, texts, cells and structs within structs; packed and not, and of version 4.

    There texts may be stored as any numbers, and a flag gives numbers an imaginary part.
    """
    from scipy.io import savemat

    from facegeo.base.matlab import load_matlab

    rng = np.random.default_rng(0)
    cells = np.empty((2, 2), object)
    cells[0], cells[1] = [np.arange(3.0), "text"], [np.eye(2, dtype=np.float32), {"inner": "x"}]
    deep: dict[str, Any] = {"Pose_Para": np.arange(7.0)[None], "roi": np.array([[1, 2, 3, 4]])}
    deep |= {"pt2d": rng.normal(size=(2, 68)), "cells": cells, "complex": np.array([1 + 2j])}
    deep |= {"model": {"tri": np.arange(30, dtype=np.int32), "names": ["a", "bcd"], "in": {"b": 1}}}
    deep |= {"flag": np.array([True, False])}
    plain = {"Pose_Para": np.arange(7.0)[None], "name": "face"}
    contents = [_texts4()]
    for variables, form, packed in ((deep, "5", False), (deep, "5", True), (plain, "4", False)):
        file = io.BytesIO()
        savemat(file, variables, format=form, do_compression=packed)
        contents.append(file.getvalue())
    return Kind(".mat", contents, load_matlab)


def _texts4() -> bytes:
    """Texts of version 4 in every kind of number, one behind the other."""
    parts = []
    for kind, dtype in enumerate(("f8", "f4", "i4", "i2", "u2", "u1")):
        for imaginary, is_text in ((0, 1), (0, 1), (1, 0)):
            head = struct.pack("<5i", 10 * kind + is_text, 2, 4, imaginary, 2) + b"%c\0" % (
                97 + kind
            )
            parts += [head, np.full(8 * (1 + imaginary), 98, f"<{dtype}").tobytes()]
    return b"".join(parts)


def pickles(_: Path) -> Kind:
    """Arrays in containers, in every protocol; and a face model, whose reader looks further."""
    from facegeo.base import pickles
    from facegeo.morphable.readers import read_upstream_model

    rng = np.random.default_rng(0)
    values: dict[str, Any] = {"mean": rng.normal(size=62).astype(np.float32), "n": [1, -7, 2.5]}
    values |= {"names": np.array(["a", "bc"]), "objects": np.array([None, "x", (1, 2)], object)}
    values |= {"mask": np.array([True, False]), "none": None, "text": "text", "bytes": b"\xff\0"}
    values |= {"big": np.asfortranarray(rng.normal(size=(3, 4, 5))), "scalar": np.float32(3)}
    rows = np.arange(204).reshape(68, 3)
    model = {"u": rng.normal(size=(210, 1)).astype(np.float32), "keypoints": rows.ravel()}
    model |= {key: np.ones((210, n), np.float32) for key, n in (("w_shp", 40), ("w_exp", 10))}
    model["tri"] = rng.permutation(70)[:66].reshape(22, 3)
    contents = [pickle.dumps(values, protocol) for protocol in range(6)]

    def read(path: Path) -> None:
        content = pickles.load(path)
        if isinstance(content, dict) and "u" in content:
            read_upstream_model(path, "3ddfa_v2")

    return Kind(".pkl", [*contents, pickle.dumps(model, 4)], read)


def npz(folder: Path) -> Kind:
    """Face models, cages and bridges, and annotations as they are saved by whoever made them."""
    from helpers.cage_data import write_cage
    from helpers.morphable_data import ellipsoid

    from facegeo.base.npz import load_npz
    from facegeo.morphable import MorphableModel
    from facegeo.morphable.bridge import ParameterBridge
    from facegeo.training.labels.manual import read_merl_rav

    path = folder / "model.npz"
    contents = []
    for storage in ("float32", "int16"):
        ellipsoid().save(path, storage=storage)
        contents.append(path.read_bytes())
    contents.append(write_cage(path).read_bytes())
    bridge = ParameterBridge("a", "b", 4, 5, np.ones((7, 20)), (0, 1))
    contents.append(bridge.to_bytes())
    labels = {"names": np.array(["a.jpg", "b.jpg"]), "params": np.ones((2, 62), np.float32)}
    labels |= {"alone": np.array([True, False]), "model": np.array("generic")}
    np.savez(path, **labels)
    contents.append(path.read_bytes())
    points = {"index": np.array([0, 1]), "names": np.array(["a.jpg", "b.jpg"])}
    points |= {"pts68": np.ones((2, 68, 2), np.float32), "state": np.zeros((2, 68), np.int8)}
    points |= {"recommended": np.array([True, False]), "split": np.array(["test", "train"])}
    np.savez(path, **points)
    contents.append(path.read_bytes())

    def read(path: Path) -> None:
        arrays = load_npz(path)
        if "state" in arrays:
            read_merl_rav(path, ["a.jpg", "b.jpg"], np.array([[0.0, 0.0, 100.0, 100.0]] * 2))
        elif "matrix" in arrays:
            ParameterBridge.parse(path.read_bytes(), str(path))
        elif "params" not in arrays:
            MorphableModel.load(path).landmark_basis  # noqa: B018 - of a cage it is made here

    return Kind(".npz", contents, read)


def mapped(folder: Path) -> Kind:
    """Arrays of every dtype in a file of the cache."""
    from facegeo.base.mapped import read_mapped, write_mapped

    arrays = {
        dtype: np.arange(30).reshape(5, 6).astype(dtype)
        for dtype in ("float32", "int32", "int64", "uint8", "bool")
    }
    write_mapped(folder / "arrays", arrays)
    return Kind(".bin", [(folder / "arrays").read_bytes()], read_mapped)


def npy(_: Path) -> Kind:
    from facegeo.base.npz import load_npy

    contents = []
    for array in (np.eye(9), np.arange(5, dtype=">i2"), np.array(["a", "bc"]), np.ones(3, bool)):
        file = io.BytesIO()
        np.save(file, array)
        contents.append(file.getvalue())
    return Kind(".npy", contents, load_npy)


def checkpoints(folder: Path) -> Kind:
    """A run's checkpoint: safetensors with texts beside the tensors."""
    import torch

    from facegeo.training.core import checkpoint

    def parts() -> tuple[Any, Any, Any]:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        return network, checkpoint.Ema(network, 0.9), torch.optim.Adam(network.parameters())

    network, ema, optimiser = parts()
    network(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    path = folder / "checkpoint.safetensors"
    progress = checkpoint.Progress(1, 2, 3, {"loss": 0.5})
    checkpoint.save(path, progress, {"seed": 1, "data": {"x": [1]}}, network, ema, optimiser)
    fresh = parts()

    def read(path: Path) -> None:
        checkpoint.load(path).restore(*fresh)

    return Kind(".safetensors", [path.read_bytes()], read)


def onnx(_: Path) -> Kind:
    """A small network with half-precision constants and texts, for the engine and for PyTorch."""
    from onnx import TensorProto, helper, numpy_helper

    from facegeo.backends import open_graph
    from facegeo.errors import CorruptFileError, InvalidInputError
    from facegeo.networks.onnx_state import read_onnx_state

    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.normal(size=(4, 3, 3, 3)).astype(np.float16), "half")
    bias = numpy_helper.from_array(np.ones(4, np.float32), "bias")
    nodes = [
        helper.make_node("Cast", ["half"], ["weight"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["image", "weight", "bias"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["out"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 4, 1, 1])]
    graph = helper.make_graph(nodes, "small", inputs, outputs, [weight, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.metadata_props.add(key="equal_weights", value=json.dumps({"same": "bias"}))

    image = np.zeros((2, 3, 8, 8), np.float32)

    def read(path: Path) -> None:
        content = path.read_bytes()
        try:
            read_onnx_state(content)
            with open_graph(content) as network:
                network.run({"image": image})
        # Whoever opened the file names it; an input of another name or shape is the file's fault.
        except (CorruptFileError, InvalidInputError) as error:
            raise CorruptFileError(f"{path}: {error}") from error

    return Kind(".onnx", [model.SerializeToString()], read)


def torch_weights(folder: Path) -> Kind:
    """A ``.pth`` file, as PyTorch writes it now and as it did before version 1.6."""
    import torch

    from facegeo.importing.release_files import torch_state

    state = {"module.a": torch.arange(12.0).reshape(3, 4), "module.b": torch.ones(3)}
    contents = []
    for zipped in (True, False):
        path = folder / "weights.pth"
        torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=zipped)
        contents.append(path.read_bytes())
    return Kind(".pth", contents, torch_state)


def obj(_: Path) -> Kind:
    from facegeo.morphable.readers._obj import read_obj

    rng = np.random.default_rng(0)
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in rng.normal(size=(40, 3))]
    lines += [f"vt {u:.5f} {v:.5f}" for u, v in rng.random(size=(40, 2))]
    lines += ["f " + " ".join(f"{k}/{k}" for k in rng.integers(1, 41, 4)) for _ in range(20)]
    lines += ["f 1/2 2/3 3/4"]
    return Kind(".obj", ["\n".join(lines).encode()], read_obj)


def cards(_: Path) -> Kind:
    from facegeo.zoo.cards import Card, FileEntry, read_card

    files = {"network": FileEntry("network-01234567.onnx", "0123456789abcdef" * 4)}
    more: dict[str, Any] = {"missing": {"morphable": "bfm.pkl"}, "imported_from": {"a.pth": "00"}}
    card = Card(
        "mb05", "landmarks", "mobilenet_v1_x0.5", "a release", "MIT", files, "3ddfa", **more
    )
    return Kind(".json", [card.to_json().encode()], read_card)


def settings(_: Path) -> Kind:
    """Training's YAML, with what YAML can do beside it."""
    from helpers.shared_material import REPOSITORY

    from facegeo.errors import CorruptFileError, InvalidInputError
    from facegeo.training.core.yaml_files import load_yaml
    from facegeo.training.landmarks.config import read_config

    text = (REPOSITORY / "models/synergy-mbv2/train.yaml").read_text(encoding="utf-8")

    def read(path: Path) -> None:
        if b"synergy" not in path.read_bytes():
            load_yaml(path)
            return
        try:
            read_config(path)
        except InvalidInputError as error:  # a setting that is not known, named as such
            raise CorruptFileError(f"{path}: {error}") from error

    more = "base: &b {x: 1}\nwhen: 2020-01-01 10:00:00\nwhole: !!int 0x1F\nreal: 1.5e3\n"
    more += "date: 2020-01-01\nmany: &m [*b, {<<: *b, y: 2}]\nagain: *m\nbytes: !!binary aGFsbG8=\n"
    return Kind(".yaml", [text.encode(), more.encode()], read)


def archives(_: Path) -> Kind:
    """Images in a tar archive."""
    from facegeo.images.collections import TarImages

    image = cv2.imencode(".png", np.full((20, 20, 3), 90, np.uint8))[1].tobytes()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("a.png", "folder/b.png", "x" * 120 + ".png"):
            member = tarfile.TarInfo(name)
            member.size = len(image)
            archive.addfile(member, io.BytesIO(image))

    def read(path: Path) -> None:
        images = TarImages(path)
        for index in range(len(images.names)):
            images.read(index)

    return Kind(".tar", [file.getvalue()], read)


def points(_: Path) -> Kind:
    """Annotations as text: landmarks, poses, cameras, boxes."""
    from facegeo.errors import CorruptFileError
    from facegeo.evaluation.biwi import read_calibration, read_pose
    from facegeo.evaluation.detection import read_wider
    from facegeo.evaluation.vw300 import read_pts

    rng = np.random.default_rng(0)
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in rng.random(size=(68, 2)) * 100)
    landmarks = f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n"
    eye = "1 0 0\n0 1 0\n0 0 1\n"
    wider = "a.jpg\n2\n1 2 30 40 0 0 0 0 0 0\n5 6 30 40 0 0 0 0 0 0\n"
    pose = f"{eye}\n1 2 900\n"
    calibration = f"500 0 320\n0 500 240\n0 0 1\n\n0 0 0 0\n\n{eye}\n1 2 3\n\n640 480\n"
    readers = {
        landmarks: read_pts,
        pose: read_pose,
        calibration: read_calibration,
        wider: read_wider,
    }

    def read(path: Path) -> None:
        """By each of the readers: a file is damaged for all, or whole for one."""
        read_by = 0
        for reader in readers.values():
            try:
                reader(path)
                read_by += 1
            except CorruptFileError as error:
                last = error
        if not read_by:
            raise last

    return Kind(".txt", [text.encode() for text in readers], read)


#: Name -> what makes a kind; it is called in the process that reads.
KINDS: dict[str, Callable[[Path], Kind]] = {
    "images": images,
    "mat": mat,
    "pickle": pickles,
    "npz": npz,
    "mapped": mapped,
    "npy": npy,
    "obj": obj,
    "tar": archives,
    "text": points,
    "card": cards,
    "yaml": settings,
    "safetensors": checkpoints,
    "onnx": onnx,
    "pth": torch_weights,
}

#: Packages that a kind's reader needs beside the base ones.
NEEDS = {"yaml": ("torch", "yaml"), "safetensors": ("torch", "safetensors")}
NEEDS |= {"onnx": ("torch", "onnx"), "pth": ("torch",)}
