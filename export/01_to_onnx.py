"""A trained network -> ONNX files of every precision, each compared with the original.

python export/01_to_onnx.py NAME CROPS [FOLDER]

NAME is an installed landmark model (`facegeo models`), CROPS a folder or tar archive of face crops.
`facegeo export` does the same for one precision; `--install` there makes it the model's own.
"""

from __future__ import annotations

import sys
from pathlib import Path

from facegeo.base.precisions import PRECISIONS
from facegeo.errors import FacegeoError
from facegeo.export.publishing import publish, read_crops
from facegeo.zoo.store import find


def main(name: str, crops_path: str, folder: str = ".") -> int:
    model = find(name)
    crops = read_crops(crops_path)
    failed = 0
    for precision in PRECISIONS:
        target = Path(folder) / f"{model.card.name}-{precision}.onnx"
        try:
            parity = publish(model, precision, target, crops)["parity"]
        except FacegeoError as error:
            print(f"{precision}: {error}", file=sys.stderr)
            failed += 1
            continue
        print(
            f"{target}: {parity['landmarks_px_mean']:.4f} px, {parity['rotation_deg_mean']:.4f} deg"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
