"""The custodian's journal: full texts of what went wrong. It never crosses the border."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

MOST_BYTES = 4_000_000
MOST_TEXT = 20_000


class Journal:
    """One JSON line an event, in `journal.log`; older ones in `journal.log.1`. noted: hears of each, by its study."""

    def __init__(self, folder: Path, noted: Callable[[str], None] = lambda study: None) -> None:
        self._noted = noted
        path = folder / "journal.log"
        path.touch(mode=0o600, exist_ok=True)
        path.chmod(0o600)
        self._handler = RotatingFileHandler(path, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8")

    def write(self, study: str, text: str) -> None:
        """Note something for the custodian alone."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "study": study, "text": text[-MOST_TEXT:]})
        self._handler.handle(logging.LogRecord("journal", logging.INFO, "", 0, line, None, None))
        self._noted(study)

    def close(self) -> None:
        """Close the file."""
        self._handler.close()
