"""A page in a real browser, headless: its console, what it asks the network for, and a picture of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def opened(
    page: Path, picture: Path, log: Path, dark: bool = False, more: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Open a page in a fresh profile, with its console on stderr and its network events in a file."""
    assert CHROMIUM is not None
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    sealed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
    shade = ("--blink-settings=preferredColorScheme=0",) if dark else ()
    files = (f"--user-data-dir={page.parent / 'profile'}", f"--screenshot={picture}", f"--log-net-log={log}")
    command = [CHROMIUM, *sealed, *quiet, *shade, "--enable-logging=stderr", "--window-size=1100,4600", *files]
    done = subprocess.run([*command, *more, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    return done


def requested(log: Path) -> set[str]:
    """Web addresses that the page asked for; the browser's own services are not its doing."""
    document = json.loads(log.read_text(encoding="utf-8"))
    urls = {str(event.get("params", {}).get("url", "")) for event in document["events"]}
    own = ("google.com", "googleapis.com", "gvt1.com", "gstatic.com")
    return {url for url in urls if url.startswith(("http:", "https:", "ws:")) and not any(host in url for host in own)}
