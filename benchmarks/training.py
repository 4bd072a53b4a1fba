"""Speed of training on this machine: views alone, and whole steps; one JSON.

    facegeo label synthetic data/synthetic
    python benchmarks/training.py --labels data/synthetic/labels.npz \
        --pictures data/synthetic/crops.tar --out benchmarks/results/training-NAME.json

Faces may be any labelled ones: what is measured does not depend on whose they are.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facegeo.base import files
from facegeo.bench.timing import machine
from facegeo.networks.synergy.config import SynergyConfig
from facegeo.training.core.optimiser import OptimiserConfig
from facegeo.training.core.process import Process, device_of
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.datasets import read_labelled
from facegeo.training.landmarks.config import DataConfig, TrainConfig
from facegeo.training.landmarks.loop import Trainer, face_model

#: Steps that are not counted: engines choose their algorithms in them.
WARM_UP = 10

#: As many of everything as the network that ships is trained with.
AUGMENT = AugmentConfig(
    swap=0.1,
    reshape=0.1,
    turn=0.25,
    occlusion=0.15,
    cut=0.05,
    blur=0.1,
    noise=0.1,
    jpeg=0.1,
    recentre=0.6,
)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write."""
    options = _parser().parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for backbone in options.backbones:
            row = measured(_config(options, backbone, Path(folder)), options.steps)
            print(json.dumps(row), file=sys.stderr)
            rows.append(row)
    report = {"benchmark": "training", "machine": machine(), "rows": rows}
    files.write_bytes(options.out, (json.dumps(report, indent=1) + "\n").encode())
    print(options.out)
    return 0


def measured(config: TrainConfig, steps: int) -> dict[str, Any]:
    """Rates of one network, in faces a second, and seconds to its first step."""
    began = time.perf_counter()
    device = device_of(config.device, Process())
    faces = read_labelled(str(config.data.labels), str(config.data.pictures))
    trainer = Trainer(config, faces, face_model(config), device, Process())
    views, whole, first = [], [], 0.0
    plans = trainer.plans()
    for number in range(WARM_UP + steps):
        key, plan = next(plans)
        start = _now(device)
        batch = trainer.crops.batch(plan, key)
        made = _now(device)
        trainer.train_batch(batch, 0.5)
        done = _now(device)
        first = first or done - began
        if number >= WARM_UP:
            views.append(made - start)
            whole.append(done - start)
    return {
        "backbone": config.network.backbone,
        "size": config.size_of(0),
        "batch": config.batch,
        "precision": config.precision,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "views_per_s": config.batch / float(np.median(views)),
        "faces_per_s": config.batch / float(np.median(whole)),
        "first_step_s": first,
    }


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _config(options: argparse.Namespace, backbone: str, folder: Path) -> TrainConfig:
    return TrainConfig(
        run=str(folder / backbone),
        data=DataConfig(
            options.labels,
            options.pictures,
            options.morphable_model,
            negatives=0.1,
            workers=options.workers,
            cache=str(folder / "crops"),
        ),
        network=SynergyConfig(backbone=backbone, visibility=True, covariance=True),
        augment=AUGMENT,
        optimiser=OptimiserConfig("adamw", schedule="cosine"),
        epochs=10_000,
        batch=options.batch,
        sizes=((0.0, options.size),),
        precision="bf16",
        device=options.device,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--labels", required=True)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--morphable-model", default="default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--backbones", nargs="+", default=["mobilenet_v2", "residual_separable", "residual_dense"]
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    return parser


if __name__ == "__main__":
    sys.exit(main())
