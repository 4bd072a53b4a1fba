"""Abilities of this machine's processor. Importing this module looks at nothing."""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Final

#: x86 instructions that sum products of 8-bit numbers in 32 bits.
_DOT_PRODUCTS: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})

_CPU_INFO: Final = Path("/proc/cpuinfo")


def cpu_fact(key: str) -> str | None:
    """Fact on the first core from Linux: ``model name``, ``flags``; None where it says nothing."""
    try:
        with _CPU_INFO.open(encoding="utf-8") as file:
            for line in file:
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Names of the processor's instructions, as Linux has them; empty on other systems."""
    return frozenset((cpu_fact("flags") or cpu_fact("Features") or "").split())


def runs_int8_exactly() -> bool:
    """True if 8-bit networks are both fast and right on this processor.

    Older x86 processors sum two 8-bit products in 16 bits, where engines let the sum saturate: a
    quantised network is then slower than it could be, and wrong. Where the processor cannot be
    asked (Windows, macOS on Intel) the answer is no.
    """
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return bool(_DOT_PRODUCTS & cpu_flags())
