"""The former morphable model, ``facegeo-generic``: an average adult face made by code alone.

The order of the modules is the order of the work: ``measurements`` (the numbers), ``controls`` (the
average face as a drawing), ``surface`` (the smooth face through it), ``outline`` and ``cage`` (even
triangles on it), ``fields``, ``shape_modes`` and ``expression_modes`` (how it varies),
``subdivision``, ``eyeballs``, ``regions``, ``landmarks``, and ``build``, which puts all together.
Nothing here reads a file.
"""

from .build import NAME, build_generic, write_generic

__all__ = ["NAME", "build_generic", "write_generic"]
