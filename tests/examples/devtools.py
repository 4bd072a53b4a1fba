"""Chromium without a window, driven by the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """The browser's program: ``$FACEGEO_CHROMIUM``, else the first of :data:`NAMES` on the path."""
    return os.environ.get("FACEGEO_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One browser with one page; a context manager.

    Parameters
    ----------
    program : str
    flags : sequence of str
        Further ones for the command line.
    size : (int, int)
        Of the page, pixels.
    """

    def __init__(
        self, program: str, flags: Sequence[str] = (), size: tuple[int, int] = (1280, 900)
    ) -> None:
        from websockets.sync.client import connect

        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._log = Path(self._profile.name) / "log.txt"
        command = [
            program,
            "--headless=new",
            "--no-sandbox",  # the tests may run as root in a container
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--autoplay-policy=no-user-gesture-required",
            "--remote-debugging-port=0",
            f"--user-data-dir={self._profile.name}/profile",
            f"--window-size={size[0]},{size[1]}",
            *flags,
            "about:blank",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )
        self._open = ExitStack()
        self._number = 0
        self._session: str | None = None
        self.messages: list[str] = []
        try:
            opening = connect(self._address(), max_size=None, open_timeout=30)
            self._socket = self._open.enter_context(opening)
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            self.call("Page.enable")
            self.call("Runtime.enable")
            self.resize(*size)
        except BaseException:
            self.close()
            raise

    def call(self, method: str, timeout_s: float = 60, **params: Any) -> dict[str, Any]:
        """A command of the protocol and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        deadline = time.monotonic() + timeout_s
        while True:
            answer = json.loads(self._socket.recv(timeout=max(deadline - time.monotonic(), 0.01)))
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._note(answer)

    def evaluate(self, script: str, timeout_s: float = 60) -> Any:
        """The value of an expression; promises are waited for."""
        result = self.call(
            "Runtime.evaluate",
            timeout_s,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            what = details.get("exception", {}).get("description") or details["text"]
            raise RuntimeError(f"{what}\n" + "\n".join(self.messages))
        return result["result"].get("value")

    def wait_for(self, condition: str, timeout_s: float = 60) -> Any:
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.evaluate(condition)):
            if time.monotonic() > deadline:
                messages = "\n".join(self.messages)
                raise TimeoutError(f"not within {timeout_s} s: {condition}\n{messages}")
            time.sleep(0.05)
        return value

    def open(self, url: str, before: str = "") -> None:
        """Go to a page; ``before`` runs in it before its own scripts."""
        if before:
            self.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")

    def choose_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Put files into a file input, as a user would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Another size of the page."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    def screenshot(self, path: Path) -> None:
        """The page as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the browser and all its processes."""
        self._open.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._profile.cleanup()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _address(self) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            found = re.search(r"DevTools listening on (ws://\S+)", self._log.read_text("utf-8"))
            if found:
                return found[1]
            time.sleep(0.05)
        raise RuntimeError(f"the browser did not start:\n{self._log.read_text('utf-8')[-2000:]}")

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.consoleAPICalled":
            texts = [str(a.get("value", a.get("description"))) for a in params["args"]]
            self.messages.append(f"{params['type']}: {' '.join(texts)}")
        elif event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            what = details.get("exception", {}).get("description") or details["text"]
            self.messages.append(f"uncaught: {what}")
