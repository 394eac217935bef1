"""A program's log for the people who run it: one line an event, of known fields only.

Law: a line holds the event's name and fields of `FIELDS` in short plain words. Values of records, titles of plans,
broadcasts and texts of errors have no field here, whatever a caller gives: what is not known is left out.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO

from sojourn.operations.lean import without

with without("rich"):
    import structlog
    from structlog.typing import FilteringBoundLogger, Processor

Form = Literal["json", "text"]
Level = Literal["debug", "info", "warning", "error"]
Log = FilteringBoundLogger

FIXED = ("time", "level", "event", "program")
FIELDS: Mapping[str, str] = {
    "study": "a study's id",
    "site": "a site's name",
    "sites": "names of sites",
    "actor": "who did it: a role, and a site's name or the short name of a key",
    "project": "a project's name",
    "key": "the short name of a key",
    "reason": "a word of a fixed list",
    "reasons": "words of a fixed list",
    "outcome": "how an analysis ended, a word of a fixed list",
    "how": "how a run ended, a word of a fixed list",
    "round": "the number of a round",
    "rounds": "how many rounds there were",
    "answered": "how many analyses have an answer",
    "bytes": "how many bytes were sealed",
    "operation": "what a refused statement would have done to the audit tables",
    "times": "how often",
    "entry": "the entry's number in the audit log",
    "seconds": "how long it took, in seconds",
    "difference": "between two clocks, in seconds",
    "route": "a route of the hub's interface, with names in place of values",
    "status": "the HTTP status of an answer",
    "software": "the other side's version",
    "own": "this program's version",
    "error": "the class of an error, never its text",
    "cause": "the class of the error behind it",
    "place": "the module and line where it arose",
    "logger": "a library that said something, whose text is left out",
}
_PLAIN = re.compile(r"[\w .:,/<>{}\[\]+-]{0,120}")


def open_log(program: str, form: Form = "json", level: Level = "info", stream: TextIO | None = None) -> Log:
    """A log of this program on this stream (standard error), which never fails whatever becomes of the stream."""
    fixed: Processor = lambda _, __, line: _fixed(line, program)  # noqa: E731
    show: Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.processors.LogfmtRenderer(key_order=list(FIXED), bool_as_flag=False)
    )
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
    log: Log = structlog.wrap_logger(
        _Lines(stream or sys.stderr),
        processors=[structlog.processors.add_log_level, stamp, fixed, show],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
    )
    return log


def error_fields(error: BaseException) -> dict[str, str]:
    """What may be said of an exception: its class, its cause's class, and the innermost place of ours on its way."""
    fields = {"error": type(error).__name__, "place": _place(error.__traceback__)}
    cause = error.__cause__ or error.__context__
    return fields if cause is None else fields | {"cause": type(cause).__name__}


def take_over(log: Log) -> None:
    """Send to this log what would else reach standard error as text: libraries' words, warnings, threads that die.

    For the main program alone, since it changes the whole process.
    """
    logging.basicConfig(handlers=[_Library(log)], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    threading.excepthook = lambda died: log.error("thread.died", **_said(died.exc_value))
    sys.unraisablehook = lambda lost: log.error("error.ignored", **_said(lost.exc_value))


def _said(error: BaseException | None) -> dict[str, str]:
    return {} if error is None else error_fields(error)


def _fixed(line: MutableMapping[str, Any], program: str) -> MutableMapping[str, Any]:
    kept = {name: line[name] for name in FIELDS if name in line and _plain(line[name])}
    return {"time": line["time"], "level": line["level"], "event": line["event"], "program": program, **kept}


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(item, str) and _plain(item) for item in value)
    if isinstance(value, str):
        return _PLAIN.fullmatch(value) is not None
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _place(trace: TracebackType | None) -> str:
    place = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.startswith("sojourn.") or not place:
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


class _Lines:
    """Writes whole lines; a stream that is full, closed or gone loses them, and nobody else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = msg


class _Library(logging.Handler):
    """A library's record: who and where, without its text, which may repeat what it was given."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields = {"logger": record.name, "place": f"{record.module}:{record.lineno}", **_said(error)}
        tell = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        tell("library.said", **fields)


def _drop(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    raise structlog.DropEvent


SILENT: Log = structlog.wrap_logger(
    None, processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger("critical"), context_class=dict
)
"""The log of programs that nobody listens to: the testbed's."""
