"""The shipped model, read without the library: the tests see what is in the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

ASSET = Path(__file__).parents[2] / "models" / "facegeo-generic" / "facegeo-generic.npz"


@cache
def shipped() -> dict[str, np.ndarray]:
    """The arrays of the shipped file; bases as float32."""
    with np.load(ASSET, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for kind in ("shape_basis", "expression_basis"):
        scale = arrays[f"{kind}_scale"][:, None, None]
        arrays[kind] = (arrays[kind] * (scale / np.float32(32767))).astype(np.float32)
    return arrays
