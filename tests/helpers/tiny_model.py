"""A small SynergyNet with random weights, installed like any model."""

from __future__ import annotations

NAME = "tiny"


def install_tiny(name: str = NAME, crop_size: int = 120):
    """MobileNetV1 x0.5 with refinement, speaking facegeo-generic. Its outputs are no faces."""
    from facegeo.export.publishing import sample_crops
    from facegeo.networks.regressor import SYNERGY
    from facegeo.zoo.cards import Card
    from facegeo.zoo.face_models import model_bytes
    from facegeo.zoo.store import install
    from helpers.morphable_data import generic_model
    from helpers.synergy_networks import CONVENTION, exported, settle_norms, small_network

    network = settle_norms(small_network(0.002, inverse=()), sample_crops(16))
    place = {"crop_convention": CONVENTION.name, "crop_size": crop_size}
    card = Card(name, "landmarks", SYNERGY, "random", "MIT", {}, **place)
    contents = {
        "network": exported(network, crop_size),
        "morphable": model_bytes(generic_model()),
    }
    return install(card, contents)
