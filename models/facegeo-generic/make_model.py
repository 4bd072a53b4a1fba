"""Build facegeo-generic from its measurements; needs no data.

python models/facegeo-generic/make_model.py [facegeo-generic.npz]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from build import write_generic

from facegeo import MorphableModel

if __name__ == "__main__":
    target = write_generic(sys.argv[1] if len(sys.argv) > 1 else "facegeo-generic.npz")
    print(f"{MorphableModel.load(target)!r}: {target}")
