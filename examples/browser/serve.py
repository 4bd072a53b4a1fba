"""Serve the folder that prepare.py wrote.

python examples/browser/serve.py FOLDER [--port 8000]

Any web server can do this. Two headers make the page several times faster: they isolate it, and
only isolated pages may use threads. Cameras work on localhost and by https only.
"""

from __future__ import annotations

import argparse
import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class PageHandler(SimpleHTTPRequestHandler):
    """Files with the types that modules need, isolated, never cached in an old version."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Only the address is printed, not every file."""


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of that folder for this computer only; port 0 takes a free one."""
    handler = functools.partial(PageHandler, directory=str(folder))
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    if not (options.folder / "index.html").is_file():
        parser.error(f"{options.folder}: no index.html; run prepare.py first")
    with server(options.folder, options.port) as service:
        print(f"http://localhost:{service.server_port}/  (Ctrl-C ends)")
        try:
            service.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
