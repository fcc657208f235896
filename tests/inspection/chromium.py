"""A headless Chromium driven through a pipe by its own protocol: no driver program, no port, no network.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections import deque
from contextlib import contextmanager
from select import select

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = """
    --headless --no-sandbox --disable-gpu --no-first-run --disable-quic --disable-background-networking
    --disable-component-update --disable-sync --disable-extensions --hide-scrollbars --disable-dev-shm-usage
    --remote-debugging-pipe
"""


class Page:
    """One tab; ``requests`` are the addresses it asked for, ``errors`` what its scripts complained of."""

    def __init__(self, read, write):
        self._read, self._write = read, write
        self._buffer, self._number, self._events = b"", 0, deque()
        self.requests, self.errors = [], []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        return self._call(method, self.session, **params)

    def open(self, url, width=1280, height=900, dark=False):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.call("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        self.requests.clear()
        self.call("Page.navigate", url=url)
        self.wait("document.getElementById('app')?.dataset.ready === 'true'")
        self.wait("document.documentElement.dataset.painted === 'true'")

    def run(self, script):
        """Return what a JavaScript expression, or what it promises, comes to."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition, timeout_s=30.0):
        steps = f"""new Promise((done) => {{
          const end = Date.now() + {timeout_s * 1000:.0f};
          const look = () => ({condition}) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 10);
          look();
        }})"""
        for _ in range(3):  # a navigation ends what is being evaluated
            try:
                assert self.run(steps), f"{condition} did not come true"
                return
            except RuntimeError:
                continue
        raise AssertionError(condition)

    def press(self, key):
        code = {"Enter": 13, "Tab": 9, "ArrowRight": 39, "ArrowDown": 40}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def picture(self, path):
        """Keep the whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        screen = {"width": self.run("innerWidth"), "height": min(int(size["height"]) + 1, 9000)}
        self.call("Emulation.setDeviceMetricsOverride", **screen, deviceScaleFactor=1, mobile=False)
        self.run("new Promise((done) => setTimeout(done, 100))")
        self.wait("document.documentElement.dataset.painted === 'true'")
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method, session=None, **params):
        self._number += 1
        message = {
            "id": self._number,
            "method": method,
            "params": params,
            **({"sessionId": session} if session else {}),
        }
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return answer["result"]

    def _next(self):
        while b"\0" not in self._buffer:
            ready, _, _ = select([self._read], [], [], 60)
            assert ready, "Chromium says nothing"
            self._buffer += os.read(self._read, 1 << 20)
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(raw)
        match message.get("method"):
            case "Network.requestWillBeSent":
                if not (address := message["params"]["request"]["url"]).startswith("data:"):  # what the page holds
                    self.requests.append(address)
            case "Runtime.exceptionThrown":
                self.errors.append(str(message["params"]["exceptionDetails"]))
            case "Log.entryAdded" if message["params"]["entry"]["level"] == "error":
                self.errors.append(str(message["params"]["entry"]))
        return message


@contextmanager
def chromium(environment=None):
    """Give a ``Page`` of a fresh Chromium."""
    profile = tempfile.mkdtemp(prefix="clearhead-chromium-")
    there, write = os.pipe()
    read, back = os.pipe()

    def connect():
        kept = [os.dup(there), os.dup(back)]
        for number, descriptor in zip((3, 4), [fcntl_above(each) for each in kept]):
            os.dup2(descriptor, number)

    process = subprocess.Popen(
        [PROGRAM, *ARGUMENTS.split(), f"--user-data-dir={profile}"],
        preexec_fn=connect,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    os.close(there)
    os.close(back)
    try:
        yield Page(read, write)
    finally:
        os.close(write)
        os.close(read)
        process.terminate()
        process.wait(20)
        shutil.rmtree(profile, ignore_errors=True)


def fcntl_above(descriptor):
    """Return a copy of a descriptor beyond 3 and 4, where the program wants its pipe."""
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)
