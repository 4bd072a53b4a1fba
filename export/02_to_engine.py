"""ONNX to a TensorRT engine for the GPU of this machine.

    python export/02_to_engine.py mb05                        # an installed model, into the cache
    python export/02_to_engine.py net.onnx --precision fp16   # a file, into net.onnx's folder

Precision lives in the graph: export it in the one you want first (export/01_to_onnx.py). The engine
is checked with TensorRT's inspector; a JSON file beside it says what it was built from and for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facegeo.backends.base import network_file
from facegeo.backends.trt.backend import DEFAULT_MAX_BATCH, open_onnx
from facegeo.backends.trt.build import Profile
from facegeo.backends.trt.cache import EngineCache
from facegeo.base.precisions import PRECISIONS
from facegeo.errors import FacegeoError
from facegeo.gpu.device import open_gpu
from facegeo.zoo.store import find


def main(arguments: list[str] | None = None) -> int:
    """Build one engine; 0 if it is there and runs."""
    options = _parser().parse_args(arguments)
    try:
        name, onnx, cache = _source(options)
        profile = Profile.up_to(options.max_batch)
        gpu = open_gpu(options.device)
        backend = open_onnx(onnx, name, gpu, options.precision, profile, cache)
    except (FacegeoError, OSError) as error:
        print(f"02_to_engine: error: {error}", file=sys.stderr)
        return 1
    print(f"{name}: {backend.precision} on {gpu.name}, batches 1..{backend.max_batch}")
    print(f"engines: {cache.folder}")
    return 0


def _source(options: argparse.Namespace) -> tuple[str, bytes, EngineCache]:
    path = Path(options.model)
    if path.suffix == ".onnx":
        return path.stem, path.read_bytes(), EngineCache(options.out or path.parent)
    model = find(options.model)
    _, onnx = network_file(model, options.precision)
    return model.card.name, onnx, EngineCache(options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of an installed model, or an .onnx file")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the graph")
    parser.add_argument("--max-batch", type=int, default=DEFAULT_MAX_BATCH)
    parser.add_argument("--device", default="auto", help="auto, cuda or cuda:N")
    parser.add_argument("--out", type=Path, help="folder of the engine; default: see above")
    return parser


if __name__ == "__main__":
    sys.exit(main())
