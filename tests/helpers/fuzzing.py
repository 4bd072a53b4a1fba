"""Starts the process that reads damaged files, and says what came of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import facegeo
from helpers.shared_material import REPOSITORY

FUZZ = REPOSITORY / "tests" / "fuzz"

#: For all files of a kind together: what waits without computing is found by this.
_SECONDS = 300


def read_damaged(kind: str, first: int, count: int, folder: Path) -> dict[str, int]:
    """How many of ``count`` damaged files were read and refused. Fails where one did harm."""
    note = folder / "seed"
    note.write_text("none yet")
    script = [sys.executable, str(FUZZ / "read_damaged.py")]
    paths = [str(FUZZ.parent), str(Path(facegeo.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*script, kind, str(first), str(count), str(note)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{kind}, seed {note.read_text()}: it waits") from None
    if done.returncode:
        how = {-signal.SIGPROF: "it hangs"}.get(done.returncode, f"it ended with {done.returncode}")
        raise AssertionError(f"{kind}, seed {note.read_text()}: {how}\n{done.stderr[-3000:]}")
    report = json.loads(done.stdout.splitlines()[-1])  # ONNX Runtime has notes of its own before
    failures = [f"{kind}: {report['failed']} files", *report["failures"]]
    assert not report["failed"], "\n".join(failures)
    assert report["read"] + report["refused"] == count
    return {name: report[name] for name in ("read", "refused")}
