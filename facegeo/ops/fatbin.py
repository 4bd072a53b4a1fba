"""The compiled mesh kernel: which sources, which GPUs, and whether the built file is theirs.

``setup.py`` runs this file by its path, before the package and NumPy are there: standard library
only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

_PACKAGE: Final = Path(__file__).resolve().parent.parent
SOURCE_FOLDER: Final = _PACKAGE / "ops" / "csrc"
SOURCE: Final = SOURCE_FOLDER / "mesh.cu"
HEADER: Final = SOURCE_FOLDER / "mesh_core.h"
FATBIN: Final = _PACKAGE / "assets" / "mesh.fatbin"
#: Not among the assets, where a JSON file is the card of a model.
FACTS: Final = SOURCE_FOLDER / "mesh.fatbin.json"

#: Machine code; each serves later chips of the same major number too (75 Turing ... 120 Blackwell).
CUBINS: Final = (75, 80, 86, 89, 90, 100, 120)
#: Portable code, which the driver compiles for chips that come later or are not listed.
PTX: Final = (80, 120)


def source_digest() -> str:
    """SHA-256 of the sources, however the checkout ends its lines."""
    digest = hashlib.sha256()
    for path in (SOURCE, HEADER):
        digest.update(path.name.encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def facts() -> dict[str, Any]:
    """Facts that the built file states of itself: digests, compiler, targets."""
    content: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    return content


def is_current() -> bool:
    """True if the built file is there and was made from these sources."""
    try:
        known = facts()
        built = hashlib.sha256(FATBIN.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return False
    return (known["source_sha256"], known["fatbin_sha256"]) == (source_digest(), built)


def find_nvcc() -> str | None:
    """``nvcc``: named by ``CUDACXX``, on the path, or under ``CUDA_HOME``; None where it is not."""
    named = os.environ.get("CUDACXX") or shutil.which("nvcc")
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    return named or (shutil.which("nvcc", path=str(Path(home) / "bin")) if home else None)


def nvcc_version(nvcc: str) -> tuple[int, int]:
    """Release of the compiler, which is also the least CUDA version of the driver that loads it."""
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"release (\d+)\.(\d+)", text)
    if found is None:
        raise RuntimeError(f"{nvcc} --version: no release in {text!r}")
    return int(found[1]), int(found[2])


def compile_command(nvcc: str, target: Path) -> list[str]:
    """The command that writes the fat binary."""
    targets = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in CUBINS]
    targets += [f"-gencode=arch=compute_{n},code=compute_{n}" for n in PTX]
    return [nvcc, "-std=c++17", "-O3", "-fatbin", *targets, "-o", str(target), str(SOURCE)]


def build(nvcc: str) -> None:
    """Compile, then replace the built file and its facts.

    Raises
    ------
    subprocess.CalledProcessError
        If the compiler refuses; the files are unchanged then.
    """
    version = nvcc_version(nvcc)
    fresh = FATBIN.with_suffix(".part")
    try:
        subprocess.run(compile_command(nvcc, fresh), check=True)
        data = fresh.read_bytes()
        content = {
            "source_sha256": source_digest(),
            "fatbin_sha256": hashlib.sha256(data).hexdigest(),
            "nvcc": f"{version[0]}.{version[1]}",
            # Machine code runs with every driver of the compiler's major version.
            "driver_cuda": version[0] * 1000,
            "cubins": list(CUBINS),
            "ptx": list(PTX),
        }
        fresh.replace(FATBIN)
        FACTS.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    finally:
        fresh.unlink(missing_ok=True)
