"""``facegeo import``, ``fetch``, ``models``: what is installed and how to get more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facegeo.base.cache import cache_dir
from facegeo.cli.common import add_json_option, number, print_json
from facegeo.zoo import shipped
from facegeo.zoo.cards import Card
from facegeo.zoo.releases import FURTHER, RELEASES
from facegeo.zoo.store import InstalledModel, find_any, list_models


def add_parser(subparsers: Any) -> None:
    """Add the three commands to ``facegeo``."""
    _add_import(subparsers)
    fetch = subparsers.add_parser("fetch", help="download a release and install it")
    fetch.add_argument("release", choices=sorted(RELEASES))
    fetch.set_defaults(run=run_fetch)
    models = subparsers.add_parser("models", help="list what is installed and can be fetched")
    add_json_option(models)
    models.set_defaults(run=run_models)


def _add_import(subparsers: Any) -> None:
    parser = subparsers.add_parser("import", help="install a release from files you have")
    kinds = parser.add_subparsers(title="releases", metavar="RELEASE", required=True)
    v2 = kinds.add_parser("3ddfa-v2", help="3DDFA_V2: weights, statistics, face model")
    v2.add_argument("folder", type=Path, metavar="DIR", help="searched with its sub-folders")
    v2.add_argument("--name", required=True, help="name of the installed model, such as mb05")
    v2.add_argument(
        "--landmark-basis",
        type=Path,
        metavar="DIR",
        help="3DDFA's u_base.txt, w_*_base.txt, where bfm_noneck_v3.pkl is missing",
    )
    v2.add_argument(
        "--weights", type=Path, metavar="FILE", help="which .pth, where DIR has several"
    )
    v2.set_defaults(run=run_import_3ddfa_v2)
    synergynet = kinds.add_parser("synergynet", help="SynergyNet: best.pth.tar and 3dmm_data")
    synergynet.add_argument("folder", type=Path, metavar="DIR", help="searched with sub-folders")
    synergynet.add_argument("--name", default="synergynet", help="name of the installed model")
    synergynet.set_defaults(run=run_import_synergynet)
    _add_import_face_model(kinds)
    faceboxes = kinds.add_parser("faceboxes", help="FaceBoxes: FaceBoxesProd.pth")
    faceboxes.add_argument("file", type=Path, metavar="FILE")
    faceboxes.add_argument("--name", default="faceboxes", help="name of the installed model")
    faceboxes.set_defaults(run=run_import_faceboxes)


def _add_import_face_model(kinds: Any) -> None:
    from facegeo.morphable.readers import LAYOUTS

    known = "; ".join(f"{name}: {layout.description}" for name, layout in LAYOUTS.items())
    parser = kinds.add_parser(
        "face-model", help="a morphable model of another project", epilog=f"Layouts: {known}"
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="file or folder")
    parser.add_argument("--name", required=True, help="name of the installed model")
    parser.add_argument("--layout", choices=sorted(LAYOUTS), help="recognised by names without it")
    parser.add_argument(
        "--modes",
        type=number(int, 0),
        nargs=2,
        metavar=("SHAPE", "EXPRESSION"),
        help="keep this many modes, such as 40 10",
    )
    parser.set_defaults(run=run_import_face_model)


def run_import_face_model(options: argparse.Namespace) -> int:
    """Import a morphable model."""
    from facegeo.zoo.face_models import import_face_model

    modes = None if options.modes is None else (options.modes[0], options.modes[1])
    model = import_face_model(options.path, options.name, layout=options.layout, modes=modes)
    return _report(model)


def run_import_3ddfa_v2(options: argparse.Namespace) -> int:
    """Import a 3DDFA_V2 release."""
    from facegeo.importing.upstream import import_3ddfa_v2

    return _report(
        import_3ddfa_v2(
            options.folder,
            options.name,
            landmark_basis=options.landmark_basis,
            weights=options.weights,
        )
    )


def run_import_synergynet(options: argparse.Namespace) -> int:
    """Import the weights that SynergyNet's authors released."""
    from facegeo.importing.synergynet import import_synergynet

    return _report(import_synergynet(options.folder, options.name))


def run_import_faceboxes(options: argparse.Namespace) -> int:
    """Import FaceBoxes."""
    from facegeo.importing.upstream import import_faceboxes

    return _report(import_faceboxes(options.file, options.name))


def run_fetch(options: argparse.Namespace) -> int:
    """Download and install a release."""
    from facegeo.importing.download import fetch

    return _report(fetch(options.release))


def run_models(options: argparse.Namespace) -> int:
    """List models."""
    models = [find_any(name) for name in list_models()]
    if options.json:
        print_json(
            {
                "cache": str(cache_dir()),
                "installed": {
                    model.card.name: {
                        "task": model.card.task,
                        "architecture": model.card.architecture,
                        "source": model.card.source,
                        "licence": model.card.licence,
                        "mesh": "morphable" in model.card.files,
                        "shipped": model.ships,
                    }
                    for model in models
                },
                "releases": {name: release.licence for name, release in RELEASES.items()},
            }
        )
        return 0
    own = [model.card for model in models if model.folder == shipped.ASSETS]
    further = [model.card for model in models if model.ships and model.folder != shipped.ASSETS]
    installed = [model.card for model in models if not model.ships]
    if own:
        print("In facegeo itself:")
        _print_cards(own)
    print("In facegeo-models:" if further else 'In facegeo-models (pip install "facegeo[models]"):')
    _print_cards(further)
    if not further:
        print(f"  {', '.join(FURTHER)}")
    print(f"Installed in {cache_dir()}:" if installed else f"Nothing installed in {cache_dir()}.")
    _print_cards(installed)
    print("Releases (facegeo fetch NAME):")
    for name, release in RELEASES.items():
        print(f"  {name:16} {'-> ' + release.model:29} {release.licence}")
    return 0


def _print_cards(cards: Sequence[Card]) -> None:
    for card in cards:
        print(f"  {card.name:16} {card.task:10} {card.architecture:18} {card.licence}")


def _report(model: InstalledModel) -> int:
    card = model.card
    print(f"installed {card.name} ({card.architecture}) in {model.folder}")
    print(f"licence: {card.licence}")
    for role, file in card.missing.items():
        print(f"without {role}: needs {file}")
    return 0
