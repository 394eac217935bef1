"""One worker in hand: ask it, bounded in time and in size, and end it for good."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sojourn.errors import SiteRefused
from sojourn.node.frames import HEAD, length, pack, unpack

MOST_LOG = 1 << 20
_PIECE = 1 << 16
_REAPING = 10.0  # seconds that the kernel may take to end a killed tree

# The kernel kills a sandbox with the *thread* that started it (PR_SET_PDEATHSIG): this one starts all and never ends.
_LAUNCHER = ThreadPoolExecutor(1, thread_name_prefix="sandbox-launcher")


class Session(Protocol):
    """A worker for one run."""

    job: Path  # the run's folder, removed by its owner
    data: Path  # the only folder that the worker sees

    def ask(self, document: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """The worker's answer; SiteRefused("time") after `timeout` seconds, ("worker") where none can come."""

    def alive(self) -> bool:
        """Whether it can be asked."""

    def kill(self) -> None:
        """End the worker and everything that it started; may be called from another thread while `ask` waits."""

    def close(self) -> None:
        """End the worker and give back what it held."""


@dataclass(frozen=True)
class Limits:
    """What one worker may use: bytes of address space, seconds of processor, bytes a file, descriptors, threads."""

    memory: int = 4 << 30
    processor: int = 3600
    file: int = 16 << 20
    descriptors: int = 64
    threads: int = 16

    def words(self) -> list[str]:
        """Arguments of `prlimit`, but for the number of threads."""
        return [
            f"--as={self.memory}",
            f"--cpu={self.processor}",
            f"--fsize={self.file}",
            f"--nofile={self.descriptors}",
            "--core=0",
            "--memlock=0",
        ]


def data_folder(job: Path) -> Path:
    """Make the folder that a worker sees. Another uid must read it: the job's own folder (0700) keeps others out."""
    job.mkdir(mode=0o700, parents=True, exist_ok=True)
    job.chmod(0o700)
    data = job / "data"
    data.mkdir(exist_ok=True)
    data.chmod(0o755)
    return data


class ProcessSession:
    """A worker in a process of its own. `command` gets the number of the answers' descriptor as its last argument."""

    def __init__(
        self,
        job: Path,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.job = job
        self.data = job / "data"
        self._ended = ended
        self._asking = threading.Lock()  # the descriptors stay open while it is held
        self._killing = threading.Lock()
        self._answers, answers = os.pipe()
        log, log_end = os.pipe()
        try:
            self._process = _LAUNCHER.submit(
                subprocess.Popen,
                [*command, str(answers)],
                stdin=subprocess.PIPE,
                stdout=log_end,
                stderr=log_end,
                bufsize=0,
                env=dict(environment),
                cwd="/",
                pass_fds=(answers, *descriptors),
                start_new_session=True,
            ).result()
        finally:
            os.close(answers)
            os.close(log_end)
        assert self._process.stdin is not None
        self._requests = self._process.stdin.fileno()
        os.set_blocking(self._requests, False)
        os.set_blocking(self._answers, False)
        self._drain = threading.Thread(target=_keep_log, args=(log, job / "worker.log"), daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """The process that holds the tree."""
        return self._process.pid

    def ask(self, document: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """See `Session`. A worker that fails once is ended: it is never asked again."""
        end = time.monotonic() + timeout
        try:
            with self._asking:
                self._send(pack(document), end)
                return unpack(self._receive(length(self._receive(HEAD, end)), end))
        except TimeoutError:
            self.kill()
            raise SiteRefused("time") from None
        except (OSError, ValueError):
            self.kill()
            raise SiteRefused("worker") from None

    def alive(self) -> bool:
        """See `Session`."""
        return self._process.poll() is None

    def kill(self) -> None:
        """See `Session`."""
        with self._killing:
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_REAPING)
            self._drain.join(_REAPING)  # its pipe ends with the last process that holds it

    def close(self) -> None:
        """See `Session`."""
        self.kill()
        with self._asking:
            if self._answers < 0:
                return
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            os.close(self._answers)
            self._answers = -1
        self._ended()

    def _send(self, data: bytes, end: float) -> None:
        if self._answers < 0:
            raise ValueError("the worker was closed")
        rest = memoryview(data)
        while rest:
            _wait(self._requests, selectors.EVENT_WRITE, end)
            rest = rest[os.write(self._requests, rest[:_PIECE]) :]

    def _receive(self, size: int, end: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            _wait(self._answers, selectors.EVENT_READ, end)
            piece = os.read(self._answers, min(size - len(data), _PIECE))
            if not piece:
                raise ValueError("the worker ended")
            data += piece
        return bytes(data)


def _wait(descriptor: int, event: int, end: float) -> None:
    left = end - time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, event)
        if left <= 0 or not selector.select(left):
            raise TimeoutError


def _keep_log(descriptor: int, path: Path) -> None:
    """Keep the first MOST_LOG bytes that a worker says, for the custodian alone; throw the rest away."""
    kept = 0
    with os.fdopen(descriptor, "rb", buffering=0) as pipe, open(os.open(path, _LOG_FLAGS, 0o600), "wb") as log:
        while piece := pipe.read(_PIECE):
            log.write(piece[: MOST_LOG - kept])
            log.flush()
            kept = min(MOST_LOG, kept + len(piece))


_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
