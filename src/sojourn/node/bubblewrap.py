"""The sandbox: bubblewrap with a filter of system calls, limits and, where the node runs as root, a uid of its own.

Inside there are /usr, the interpreter (/python), its packages (/site), Sojourn's code (/code) and the run's folder
(/data), all read-only, and no network, no other process, no identity. bwrap that root starts stays root for the kernel,
so root first leaves its uid; and since that uid cannot reach the interpreter in root's own folders, root binds what is
needed to a neutral place in a private mount namespace before it leaves.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

import sojourn
from sojourn.errors import SandboxUnavailable
from sojourn.node.seccomp import filter_descriptor
from sojourn.node.session import Limits, ProcessSession, data_folder

WORKER = ("-m", "sojourn.node.worker")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
_UIDS = range(61184, 65520)  # the range that Linux keeps for services without a name of their own
_REMEDY = "Install it (`apt install bubblewrap libseccomp2`), or configure `sandbox: none` and take the responsibility."
_SEALED = (
    "--unshare-user --unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup --disable-userns "
    "--die-with-parent --new-session --cap-drop ALL --clearenv --hostname sandbox --uid 65534 --gid 65534 "
    "--ro-bind /usr /usr"
)
_SCRATCH = "--proc /proc --dev /dev --size 8388608 --tmpfs /tmp --size 8388608 --tmpfs /dev/shm --remount-ro /dev"
_TOOLS = "/usr/sbin:/usr/bin:/sbin:/bin"
_STAGE = """
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
stage=$1; shift
mount -t tmpfs -o mode=0755,size=64k,nosuid,nodev,noexec tmpfs "$stage"
while [ "$1" != -- ]; do mkdir "$stage/$1"; mount --bind "$2" "$stage/$1"; shift 2; done
shift
exec env -i "$@"
"""


class Bubblewrap:
    """Starts workers under the profile of this module; SandboxUnavailable where a part of it is missing."""

    name = "bubblewrap"

    def __init__(self, limits: Limits | None = None, program: Sequence[str] = WORKER) -> None:
        self._limits = limits or Limits()
        self._program = tuple(program)
        self._root = os.geteuid() == 0
        needed = ("bwrap", "prlimit", *(("unshare", "setpriv", "mount", "env", "sh") if self._root else ()))
        found = {tool: shutil.which(tool, path=_TOOLS) for tool in needed}
        if lost := sorted(tool for tool, path in found.items() if path is None):
            raise SandboxUnavailable(f"The program {lost[0]} is missing.", remedy=_REMEDY)
        self._tools = {tool: path for tool, path in found.items() if path is not None}

    def start(self, job: Path) -> ProcessSession:
        """A fresh worker that sees `job/data` as /data, read-only."""
        data_folder(job)
        folders = {**_runtime(), "data": job / "data"}
        with contextlib.ExitStack() as stack:
            seccomp = filter_descriptor()
            stack.callback(os.close, seccomp)
            if not self._root:
                command = self._command(folders, seccomp)
                return ProcessSession(job, command, environment={}, descriptors=(seccomp,))
            user = ServiceUser.take()
            undo = contextlib.ExitStack()
            undo.callback(user.release)
            # Not where TMPDIR points to: that may be a folder that the service uid cannot enter.
            stage = Path(tempfile.mkdtemp(prefix="sojourn-", dir="/tmp"))
            undo.callback(_remove, stage)
            stage.chmod(0o711)
            command = self._as_service(user.uid, stage, folders, seccomp)
            try:
                return ProcessSession(job, command, environment={}, descriptors=(seccomp,), ended=undo.close)
            except BaseException:
                undo.close()
                raise

    def _as_service(self, uid: int, stage: Path, folders: Mapping[str, Path], seccomp: int) -> list[str]:
        """Bind the folders into `stage`, seen by this command alone, and become `uid` before anything else runs."""
        binds = [word for name, source in folders.items() for word in (name, str(source))]
        leave = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        return [
            *(self._tools["unshare"], "--mount", "--propagation", "private", "--"),
            *(self._tools["sh"], "-c", _STAGE, "stage", str(stage), *binds, "--"),
            *(self._tools["setpriv"], *leave, "--"),
            *self._command({name: stage / name for name in folders}, seccomp),
        ]

    def _command(self, folders: Mapping[str, Path], seccomp: int) -> list[str]:
        prlimit = self._tools["prlimit"]
        # Inside, so that threads are counted in this sandbox alone and not over everything that the uid runs.
        inside = [prlimit, f"--nproc={self._limits.threads}", "--", _interpreter(), "-s", "-S", "-B"]
        return [
            *(prlimit, *self._limits.words(), "--"),
            *(self._tools["bwrap"], *_profile(folders), "--seccomp", str(seccomp), "--"),
            *(*inside, *self._program, "/data"),
        ]


def _profile(folders: Mapping[str, Path]) -> list[str]:
    """bwrap's arguments: all namespaces, no capability, an empty environment, a read-only tree, small scratch space."""
    words = _SEALED.split()
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        link = Path("/", name)
        if link.is_symlink():
            words += ["--symlink", os.readlink(link), f"/{name}"]
        elif link.is_dir():
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    words += _SCRATCH.split()
    for name, source in folders.items():
        words += ["--ro-bind", str(source), "/code/sojourn" if name == "sojourn" else f"/{name}"]
    environment = {"PYTHONPATH": "/code:/site", "LANG": "C.UTF-8", **ONE_THREAD}
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        environment["LD_LIBRARY_PATH"] = "/python/lib"
    for name, value in environment.items():
        words += ["--setenv", name, value]
    return [*words, "--chdir", "/", "--remount-ro", "/"]


def _runtime() -> dict[str, Path]:
    """What a worker needs to run, by its neutral name inside."""
    return {
        "python": Path(sys.base_prefix).resolve(),
        "site": Path(np.__file__).resolve().parents[1],
        "sojourn": Path(sojourn.__path__[0]).resolve(),
    }


def _interpreter() -> str:
    return f"/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"


def _remove(stage: Path) -> None:
    with contextlib.suppress(OSError):
        stage.rmdir()


class ServiceUser:
    """A uid without a name that one worker has for itself; the kernel gives it back if the node dies."""

    def __init__(self, uid: int, lock: socket.socket) -> None:
        self.uid = uid
        self._lock = lock

    @classmethod
    def take(cls, uids: range = _UIDS) -> ServiceUser:
        """The first free uid of the range; SandboxUnavailable where none can be used."""
        mapped = _mapped()
        named = {entry.pw_uid for entry in pwd.getpwall()}
        for uid in uids:
            if uid in named or not mapped(uid):
                continue
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lock.bind(f"\0sojourn-service-{uid}")
            except OSError:
                lock.close()
                continue
            return cls(uid, lock)
        raise SandboxUnavailable(
            "The node runs as root and has no service uid to leave it for.",
            remedy="Run the node as a user of its own, e.g. `useradd --system sojourn`, not as root.",
        )

    def release(self) -> None:
        """Give the uid back."""
        self._lock.close()


def _mapped() -> Callable[[int], bool]:
    """Which uids exist for this process: a container may map few."""
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    ranges = [(int(start), int(start) + int(count)) for start, _, count in (line.split() for line in lines)]
    return lambda uid: any(low <= uid < high for low, high in ranges)
