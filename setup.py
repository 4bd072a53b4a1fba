"""Entry point for setuptools; every piece of static metadata is in pyproject.toml.

Where ``nvcc`` is present and the committed ``facegeo/assets/mesh.fatbin`` was made from other
sources, it is compiled anew. ``python setup.py build_cuda`` compiles it in any case. Nothing here
needs a compiler: without one the committed file is packed as it is.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

from setuptools import Command, setup
from setuptools.command.build_py import build_py

_FATBIN = Path(__file__).resolve().parent / "facegeo" / "ops" / "fatbin.py"


class BuildCuda(Command):
    """Compile the mesh kernel for GPUs."""

    description = "compile the CUDA mesh kernel to facegeo/assets/mesh.fatbin"
    user_options = []

    def initialize_options(self):
        pass

    def finalize_options(self):
        pass

    def run(self):
        fatbin = run_path(str(_FATBIN))
        nvcc = fatbin["find_nvcc"]()
        if nvcc is None:
            sys.exit("build_cuda: nvcc not found; set CUDACXX or CUDA_HOME, or put it on the PATH")
        fatbin["build"](nvcc)
        print(f"wrote {fatbin['FATBIN']} ({fatbin['FATBIN'].stat().st_size} bytes)")


class BuildPy(build_py):
    """Pack the package, with a fat binary that is the sources' own wherever that is possible."""

    def run(self):
        fatbin = run_path(str(_FATBIN))
        nvcc = fatbin["find_nvcc"]()
        if nvcc is not None and not fatbin["is_current"]():
            try:
                fatbin["build"](nvcc)
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                print(f"warning: the CUDA mesh kernel was not compiled: {error}", file=sys.stderr)
        # What an earlier build left there would be packed as well.
        for package in self.packages or ():
            shutil.rmtree(Path(self.build_lib) / package.split(".")[0], ignore_errors=True)
        super().run()


setup(cmdclass={"build_py": BuildPy, "build_cuda": BuildCuda})
