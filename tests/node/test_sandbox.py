"""The sandbox holds: hostile code in it finds every way shut that stands open without it."""

from __future__ import annotations

import os
import platform
import select
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sojourn.errors import SandboxUnavailable, SiteRefused
from sojourn.node.bubblewrap import Bubblewrap, ServiceUser
from sojourn.node.sandbox import PlainProcess, best_available, choose
from sojourn.node.session import Limits, ProcessSession

PROBE = Path(__file__).with_name("sandbox_probe.py")
LIMITS = Limits(memory=1 << 30)
SECRET = "sojourn-canary-9f2c"
OPEN_WITHOUT = {  # on any machine, also where a container of its own already shuts some ways
    "N01 tcp",
    "N02 udp",
    "N04 abstract socket",
    "N05 path socket",
    "N07 interfaces",
    "F02 canary",
    "F03 write data",
    "F06 passwd",
    "F09 other processes",
    "F11 sys",
    "F13 fill tmp",
    "P01 fork",
    "P01 threads",
    "P20 personality",
    "P26 memfd",
    "E02 uid",
    "E02 hostname",
}

Start = Callable[[str], ProcessSession]


@pytest.fixture(scope="session")
def bubblewrap() -> Bubblewrap:
    if platform.machine() != "x86_64":
        pytest.skip("the probe knows the system calls of x86-64 alone")
    try:
        sandbox = Bubblewrap(LIMITS, program=("/data/probe.py",))
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    if best_available() is None:
        pytest.skip("bubblewrap does not start here: no user namespaces")
    return sandbox


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start the probe under a sandbox, by its name."""
    sessions: list[ProcessSession] = []

    def started(name: str) -> ProcessSession:
        job = tmp_path / f"{name}-{len(sessions)}"
        data = job / "data"
        data.mkdir(parents=True)
        shutil.copy(PROBE, data / "probe.py")
        if name == "bubblewrap":
            sandbox: Bubblewrap | PlainProcess = request.getfixturevalue("bubblewrap")
        else:
            sandbox = PlainProcess(LIMITS, program=(str(data / "probe.py"),))
        sessions.append(sandbox.start(job))
        return sessions[-1]

    yield started
    for session in sessions:
        session.close()


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[dict[str, object]]:
    """Listeners and a file that nothing in a sandbox may reach."""
    canary = tmp_path / "canary"
    canary.write_text(SECRET)
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as path, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        path.bind(str(tmp_path / "s"))
        abstract.bind(f"\0sojourn-bait-{os.getpid()}")
        for end in (tcp, path, abstract):
            end.listen(8)
        yield {
            "port": tcp.getsockname()[1],
            "socket": str(tmp_path / "s"),
            "abstract": f"sojourn-bait-{os.getpid()}",
            "canary": str(canary),
            "secret": SECRET,
        }


def test_every_way_out_is_shut(start: Start, bait: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBTOKEN", SECRET)
    found = start("bubblewrap").ask({"do": "cases", "bait": bait}, 60)
    assert {case for case, is_open in found.items() if is_open} == set()
    assert len(found) > 45


def test_the_probe_sees_open_ways(start: Start, bait: dict[str, object]) -> None:
    found = start("none").ask({"do": "cases", "bait": bait}, 60)
    assert {case for case in OPEN_WITHOUT if not found[case]} == set()


def test_even_without_a_sandbox_there_are_limits_and_no_environment(
    start: Start, bait: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBTOKEN", SECRET)
    found = start("none").ask({"do": "cases", "bait": bait}, 60)
    assert not found["E01 secret"] and not found["P02 memory"] and not found["F16 descriptors"]


@pytest.mark.parametrize("name", ["bubblewrap", "none"])
@pytest.mark.parametrize("what", ["exit", "nonsense", "list", "deep", "too long"])
def test_a_worker_that_answers_wrongly_is_ended(start: Start, name: str, what: str) -> None:
    session = start(name)
    with pytest.raises(SiteRefused) as caught:
        session.ask({"do": what}, 30)
    assert caught.value.reason == "worker"
    with pytest.raises(SiteRefused, match="without an answer"):
        session.ask({"do": "echo", "text": ""}, 30)


def tree(pid: int) -> set[int]:
    """A process and all that it started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    inside = {pid}
    while more := {child for child, parent in parents.items() if parent in inside} - inside:
        inside |= more
    return inside


class Watch:
    """A process tree by descriptors, which cannot mean another process later."""

    def __init__(self, pid: int) -> None:
        self.members = [os.pidfd_open(member) for member in tree(pid)]

    def all_end(self) -> bool:
        """Whether every member has ended (the kernel may take a moment after the last of them lost its files)."""
        ended = [bool(select.select([member], [], [], 5)[0]) for member in self.members]
        for member in self.members:
            os.close(member)
        return all(ended)


@pytest.mark.parametrize(("name", "what"), [("bubblewrap", "spin"), ("none", "spin with child")])
def test_time_ends_the_whole_tree_even_if_it_ignores_signals(start: Start, name: str, what: str) -> None:
    session = start(name)
    session.ask({"do": "echo", "text": ""}, 30)
    watch = Watch(session.pid)
    assert len(watch.members) == (3 if name == "bubblewrap" else 1)
    with pytest.raises(SiteRefused) as caught:
        session.ask({"do": what}, 0.5)
    assert caught.value.reason == "time"
    assert watch.all_end()
    assert not session.alive()


@pytest.mark.parametrize(("name", "what"), [("bubblewrap", "spin"), ("none", "spin with child")])
def test_kill_from_another_thread_ends_what_is_asked(start: Start, name: str, what: str) -> None:
    session = start(name)
    session.ask({"do": "echo", "text": ""}, 30)
    watch = Watch(session.pid)
    asked: list[str] = []

    def ask() -> None:
        try:
            session.ask({"do": what}, 60)
        except SiteRefused as error:
            asked.append(error.reason)

    thread = threading.Thread(target=ask)
    thread.start()
    session.close()
    thread.join(30)
    assert asked == ["worker"]
    assert watch.all_end()
    session.close()


@pytest.mark.parametrize("name", ["bubblewrap", "none"])
def test_a_flood_on_standard_output_is_cut_and_not_answered(start: Start, name: str) -> None:
    session = start(name)
    assert session.ask({"do": "flood"}, 30) == {"done": True}
    session.close()
    log = session.job / "worker.log"
    assert log.stat().st_size == 1 << 20
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["bubblewrap", "none"])
def test_long_requests_pass(start: Start, name: str) -> None:
    assert start(name).ask({"do": "echo", "text": "x" * 5_000_000}, 30) == {"length": 5_000_000}


def test_a_worker_outlives_the_thread_that_started_it(start: Start) -> None:
    sessions: list[ProcessSession] = []
    thread = threading.Thread(target=lambda: sessions.append(start("bubblewrap")))
    thread.start()
    thread.join()
    assert sessions[0].ask({"do": "echo", "text": "ab"}, 30) == {"length": 2}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a uid to leave")
def test_root_leaves_its_uid_and_no_two_workers_share_one(start: Start) -> None:
    uids = set()
    for session in (start("bubblewrap"), start("bubblewrap")):
        session.ask({"do": "echo", "text": ""}, 30)
        status = Path(f"/proc/{session.pid}/status").read_text()
        uids.add(next(line for line in status.splitlines() if line.startswith("Uid:")))
        assert all(Path(f"/proc/{pid}").stat().st_uid >= 61184 for pid in tree(session.pid))
    assert len(uids) == 2


def test_root_without_a_service_uid_is_refused() -> None:
    with pytest.raises(SandboxUnavailable, match="not as root"):
        ServiceUser.take(range(0))


def test_a_service_uid_is_given_back() -> None:
    first = ServiceUser.take()
    second = ServiceUser.take()
    first.release()
    third = ServiceUser.take()
    assert (third.uid, second.uid != first.uid) == (first.uid, True)
    second.release()
    third.release()


def test_nothing_is_left_behind(start: Start, bubblewrap: Bubblewrap) -> None:
    before = set(os.listdir("/proc/self/fd"))
    session = start("bubblewrap")
    session.ask({"do": "echo", "text": ""}, 30)
    words = Path(f"/proc/{session.pid}/cmdline").read_text().split("\0")
    stages = {Path(word).parent for word in words if word.startswith("/tmp/sojourn-")}
    assert all(stage.exists() for stage in stages) and bool(stages) == (os.geteuid() == 0)
    session.close()
    assert not any(stage.exists() for stage in stages)
    assert set(os.listdir("/proc/self/fd")) == before


def test_an_unknown_sandbox_is_refused() -> None:
    with pytest.raises(SandboxUnavailable) as caught:
        choose("docker")
    assert caught.value.remedy
    assert choose("none").name == "none"
