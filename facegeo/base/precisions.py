"""The precisions that a network's graph can have."""

from __future__ import annotations

from typing import Final

#: Every precision that an exported graph can have.
PRECISIONS: Final = ("fp32", "fp16", "bf16", "int8")
