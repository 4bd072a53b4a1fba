"""The command ``facegeo``: results on standard output, messages and progress on standard error.

Exit codes: 0 done, 1 something failed (the rest was done), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from facegeo.base.optional import missing_extra
from facegeo.errors import FacegeoError

#: Modules with ``add_parser(subparsers)``, in the order of the help text.
_COMMANDS = (
    "predict",
    "video",
    "webcam",
    "demo",
    "models",
    "label",
    "train",
    "evaluate",
    "export",
    "doctor",
)

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands."""
    parser = argparse.ArgumentParser(
        prog="facegeo",
        description="Complete 3D face geometry from photos and video.",
        epilog="Example: facegeo predict photo.jpg --draw landmarks,pose",
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on standard error")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name in _COMMANDS:
        import_module(f"facegeo.cli.{name}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    _print_any_name()
    parser = build_parser()
    options = parser.parse_args(arguments)
    _log_to_stderr(logging.INFO if options.verbose else logging.WARNING)
    if options.version:
        from facegeo.base.versions import installed_version

        print(installed_version("facegeo"))
        return 0
    if not hasattr(options, "run"):
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except FacegeoError as error:
        print(f"facegeo: error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except ImportError as error:  # of an extra, from wherever a command leads
        missing = missing_extra(error)
        if missing is None:
            raise
        print(f"facegeo: error: {missing}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        sys.stderr.close()
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("facegeo: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return code


def _print_any_name() -> None:
    """File names that a console's encoding lacks are printed with escapes, and end nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("facegeo: %(levelname)s: %(message)s"))
    logger = logging.getLogger("facegeo")
    logger.handlers = [handler]
    logger.setLevel(level)
