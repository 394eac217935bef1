"""Both doctors: all is well with a federation that is, and each check sees the defect that is planted for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from federation_over_tls import SITES, LocalFederation, federation
from federation_processes import free_port

from sojourn.cli import main
from sojourn.hub import doctor as hub_doctor
from sojourn.hub.config import HubHome
from sojourn.hub.program import create as create_hub
from sojourn.identity.keys import PrivateKey
from sojourn.node import doctor as node_doctor
from sojourn.node.config import NodeHome
from sojourn.node.doctor import Health, Visit
from sojourn.node.sandbox import PlainProcess, best_available
from sojourn.node.session import Limits
from sojourn.storage import checks, migrate
from sojourn.storage.backup import Database
from sojourn.storage.engine import open_engine
from sojourn.storage.finding import Finding, Verdict, examine, failure, sound, well
from sojourn.wire.authorities import create_authority, issue_server
from sojourn.wire.serving import serve

NOW = datetime.now(UTC)
SITE = SITES[0]


@pytest.fixture(scope="module")
def wards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFederation]:
    with federation(tmp_path_factory.mktemp("wards")) as made:
        made.connected()
        yield made


@pytest.fixture
def node(wards: LocalFederation, tmp_path: Path) -> NodeHome:
    """The node's home once more, for a defect; no program has it open."""
    return NodeHome.load(copied(wards.home(SITE), tmp_path / "node"))


@pytest.fixture
def hub(wards: LocalFederation, tmp_path: Path) -> HubHome:
    """The hub's home once more."""
    return HubHome.load(copied(wards.home("hub"), tmp_path / "hub"))


def copied(home: Path, target: Path) -> Path:
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("*.sock", "*.db*", "jobs"))
    for database in home.glob("*.db"):
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target / database.name)) as copy:
            source.backup(copy)
        (target / database.name).chmod(0o600)
    return target


def one(check: object) -> Finding:
    """What a check says, as its doctor tells it."""
    [found] = examine([("it", check)])  # type: ignore[list-item]
    assert (found.remedy == "") == (found.verdict is Verdict.OK) and found.sentence.endswith(".")
    return found


def failed(check: object, said: str) -> None:
    found = one(check)
    assert found.verdict is Verdict.FAILURE and said in found.sentence, found


def warned(check: object, said: str) -> None:
    found = one(check)
    assert found.verdict is Verdict.WARNING and said in found.sentence, found


def visit(home: NodeHome, late: float = 0.0, **known: object) -> Visit:
    """A visit to the hub by a clock that is late; `known`: steps that are taken as made."""
    made = Visit(home, lambda: datetime.now(UTC).timestamp() - late)
    made.__dict__.update(known)
    return made


# ---- all is well


def test_a_running_federation_is_well(wards: LocalFederation, capsys: pytest.CaptureFixture[str]) -> None:
    for words, names in ((["hub"], hub_doctor.NAMES), (["node"], node_doctor.NAMES)):
        home = wards.home("hub" if words == ["hub"] else SITE)
        with pytest.raises(SystemExit) as ended:
            main([*words, "doctor", "--home", str(home), "--json"])
        said = json.loads(capsys.readouterr().out)
        assert [check["check"] for check in said["checks"]] == list(names)
        assert (said["ok"], ended.value.code) == (True, 0), said
        # Machines differ in the clock's server and free space; this node has no sandbox by choice.
        warnings = {check["check"] for check in said["checks"] if check["verdict"] != "ok"}
        assert warnings <= {"clock", "disk", "sandbox", "witnesses"}


def test_a_failure_is_told_with_its_remedy_and_exit_code(hub: HubHome, capsys: pytest.CaptureFixture[str]) -> None:
    (hub.folder / "hub.yaml").write_text("name: [")
    with pytest.raises(SystemExit) as ended:
        main(["hub", "doctor", "--home", str(hub.folder)])
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert "hub.yaml is damaged" in said and "Remedy: Restore it" in said
    assert said.count("failure") == len(hub_doctor.NAMES)


def test_a_check_that_breaks_is_a_failure_and_tells_no_text() -> None:
    def broken() -> Finding:
        raise ValueError("13.7 mmol")

    [found, after] = examine([("first", broken), ("second", lambda: well("Yes."))])
    assert found.verdict is Verdict.FAILURE and "13.7" not in found.sentence + found.remedy
    assert after.verdict is Verdict.OK and not sound([found, after])
    assert one(lambda: failure("No.", "Mend it.")).verdict is Verdict.FAILURE


# ---- what both stand on


def test_homes_and_keys_that_others_can_reach(node: NodeHome) -> None:
    def check() -> Finding:
        return checks.check_home(node.folder, [node.key])

    assert one(check).verdict is Verdict.OK
    node.folder.chmod(0o750)
    failed(check, "Others can look")
    node.folder.chmod(0o700)
    node.key.chmod(0o644)
    failed(check, "node.key can be read by others")
    node.key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(node.key, 1, 1)
        failed(check, "another user")
    node.key.unlink()
    failed(check, "missing")


def test_disks_that_are_full_or_closed(tmp_path: Path) -> None:
    assert one(lambda: checks.check_disk(tmp_path, 1, 2)).verdict is Verdict.OK
    warned(lambda: checks.check_disk(tmp_path, 1, 1 << 60), "little")
    failed(lambda: checks.check_disk(tmp_path, 1 << 60, 1 << 60), "full disk")
    failed(lambda: checks.check_disk(Path("/proc")), "Nothing can be written in the home")


def test_libraries_below_their_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(checks.check_versions).verdict is Verdict.OK
    folder = tmp_path / "toy-1.0.dist-info"
    folder.mkdir()
    wanted = "numpy>=99", "httpx<0.2", "surely-absent>=1", "duckdb>=2.0,<3", 'pytest>=99; extra == "test"'
    lines = ["Metadata-Version: 2.1", "Name: toy", "Version: 1.0", *(f"Requires-Dist: {text}" for text in wanted)]
    (folder / "METADATA").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    found = one(lambda: checks.check_versions("toy"))
    assert found.verdict is Verdict.FAILURE
    assert all(name in found.sentence for name in ("numpy is", "httpx is", "surely-absent is missing"))
    assert "duckdb" not in found.sentence and "pytest" not in found.sentence
    monkeypatch.setattr(checks, "LEAST_PYTHON", (4, 0))
    failed(checks.check_versions, "Python")


def test_databases_that_are_damaged_old_or_strange(hub: HubHome) -> None:
    def check() -> Finding:
        return checks.check_database(Database(hub.database_file), "sojourn.hub.migrations")

    assert one(check).verdict is Verdict.OK
    with closing(sqlite3.connect(hub.database_file, isolation_level=None)) as stranger:
        stranger.execute("UPDATE alembic_version SET version_num = 'future_9999'")
        failed(check, "newer version")
        stranger.execute("DELETE FROM alembic_version")
        warned(check, "schema")
    data = bytearray(hub.database_file.read_bytes())
    data[4096 * 3 : 4096 * 3 + 64] = bytes(64)
    hub.database_file.write_bytes(data)
    failed(check, "damaged")
    hub.database_file.unlink()
    failed(check, "no database")


def test_logs_that_were_altered_and_clocks_that_went_back(hub: HubHome) -> None:
    def check() -> Finding:
        return checks.check_log(Database(hub.database_file), hub.log_key, hub.name)

    now = time.time() + 60
    assert one(check).verdict is Verdict.OK
    assert one(lambda: checks.check_clock(Database(hub.database_file), now, True)).verdict is Verdict.OK
    warned(lambda: checks.check_clock(Database(hub.database_file), now, False), "time server")
    failed(lambda: checks.check_clock(Database(hub.database_file), now - 86400, True), "ahead of this machine's clock")
    with closing(sqlite3.connect(hub.database_file, isolation_level=None)) as stranger:
        stranger.execute("DROP TRIGGER log_entry_no_update")
        stranger.execute("UPDATE log_entry SET data = replace(data, 'wards', 'cards') WHERE position = 0")
    failed(check, "does not verify")
    failed(lambda: checks.check_log(Database(hub.database_file), hub.log_key, "other.test"), "does not verify")


def test_logs_that_are_not_trusted(hub: HubHome) -> None:
    def check() -> Finding:
        return checks.check_witnesses(Database(hub.database_file), "Recover.")

    def planted(statement: str) -> None:
        with closing(sqlite3.connect(hub.database_file, isolation_level=None)) as connection:
            connection.execute("DELETE FROM witness")
            connection.execute("DELETE FROM cosignature")
            connection.execute(statement)

    theirs = "INSERT INTO cosignature VALUES ('Avon.node', {}, 'note', 0, '{}', {}, {})"
    planted(theirs.format(7, "", "NULL", "NULL"))
    found = one(check)
    assert found.verdict is Verdict.OK and "up to entry 7" in found.sentence
    planted(theirs.format(0, "", "NULL", "NULL"))
    warned(check, "Nobody has witnessed")
    planted(theirs.format(7, "rollback", "NULL", "NULL"))
    failed(check, "Avon.node does not accept this log (rollback)")
    planted(theirs.format(7, "", "'later'", "NULL"))
    failed(check, "remembers more of this log")
    planted(theirs.format(7, "", "'later'", "'later'"))
    assert one(check).verdict is Verdict.OK
    planted("INSERT INTO witness VALUES ('Avon.node', 7, x'00', 'note', '', 0, 'fork', NULL)")
    failed(check, "Avon.node is not accepted here (fork)")


# ---- the hub


def test_certificates_of_the_hub(hub: HubHome, tmp_path: Path) -> None:
    def check() -> Finding:
        return hub_doctor.check_certificate(hub, NOW.timestamp())

    assert one(check).verdict is Verdict.OK
    for age, told in ((345, warned), (366, failed)):
        issue_server(hub.authority, [hub.host], now=NOW - timedelta(days=age))
        told(check, "ends in 20 days" if told is warned else "has expired")
    issue_server(hub.authority, ["elsewhere.test"])
    failed(check, f"not for {hub.host}")
    with pytest.raises(SystemExit):
        main(["hub", "renew", "--home", str(hub.folder), "--dns", hub.host, "--json"])
    found = one(check)
    assert found.verdict is Verdict.OK and "elsewhere.test" in found.sentence and hub.host in found.sentence
    other = create_hub(tmp_path / "other", "other.test", hub.host, 1, [])
    shutil.copy(other.authority / "server.pem", hub.authority / "server.pem")
    failed(check, "do not belong together")


def test_ends_of_the_authority(hub: HubHome) -> None:
    late = NOW.timestamp() + 9.5 * 365 * 86400
    issue_server(hub.authority, [hub.host], now=datetime.fromtimestamp(late, UTC))
    warned(lambda: hub_doctor.check_certificate(hub, late), "authority ends")


def test_keys_of_the_hub_that_are_no_pair(hub: HubHome) -> None:
    assert one(lambda: hub_doctor.check_keys(hub)).verdict is Verdict.OK
    (hub.folder / "log.key.pub").write_text(PrivateKey.generate().public.hex)
    failed(lambda: hub_doctor.check_keys(hub), "one pair")


def test_a_stopped_hub_and_one_whose_port_is_taken(hub: HubHome) -> None:
    free = HubHome(hub.folder, hub.name, hub.host, free_port())
    warned(lambda: hub_doctor.check_connectivity(free), "does not run")
    with socket.socket() as taken:
        taken.bind((hub.host, 0))
        taken.listen()
        held = HubHome(hub.folder, hub.name, hub.host, taken.getsockname()[1])
        failed(lambda: hub_doctor.check_connectivity(held), "cannot have")


# ---- the node


def test_the_way_to_the_hub_tells_its_causes_apart(node: NodeHome, tmp_path: Path) -> None:
    def check(home: NodeHome) -> object:
        return lambda: node_doctor.check_connectivity(home, visit(home))

    found = one(check(node))
    assert found.verdict is Verdict.OK and node.hub in found.sentence
    failed(check(node.joined("https://no-such-hub.invalid:8443", "wards.test")), "(DNS)")
    failed(check(node.joined(f"https://127.0.0.1:{free_port()}", "wards.test")), "refuses connections")
    failed(check(node.joined("", "")), "not joined")
    failed(check(node.joined(node.hub, "other.test")), "does not accept")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        mute.settimeout(10)
        home = node.joined(f"https://127.0.0.1:{port}", "wards.test")
        visited = visit(home)
        with pytest.raises(Exception, match=r"does not answer|not with TLS"):
            node_doctor.reach(home.hub, visited.authority, timeout=0.3)


@pytest.mark.parametrize(
    ("names", "days", "ours", "said"),
    [
        (["127.0.0.1"], 0, False, "not of the pinned authority"),
        (["127.0.0.1"], 400, True, "has expired"),
        (["127.0.0.1"], -10, True, "not valid yet"),
        (["elsewhere.test"], 0, True, "not for 127.0.0.1"),
    ],
)
def test_certificates_that_are_not_the_hub_s(
    node: NodeHome, tmp_path: Path, names: list[str], days: int, ours: bool, said: str
) -> None:
    folder = tmp_path / "authority"
    folder.mkdir()
    pem = create_authority(folder, now=NOW - timedelta(days=800))
    certificate, key = issue_server(folder, names, now=NOW - timedelta(days=days))
    if ours:
        node.authority.write_text(pem)
    with serve(FastAPI(), "127.0.0.1", 0, cert=certificate, key=key) as server:
        home = node.joined(f"https://127.0.0.1:{server.port}", "wards.test")
        failed(lambda: node_doctor.check_connectivity(home, visit(home)), said)
        failed(lambda: node_doctor.check_certificate(visit(home), NOW.timestamp()), said)


def test_a_hub_s_certificate_that_will_end(node: NodeHome) -> None:
    for days, told, said in ((340, warned, "ends in"), (366, failed, "expired")):
        later = NOW.timestamp() + days * 86400
        told(lambda later=later: node_doctor.check_certificate(visit(node), later), said)
    assert one(lambda: node_doctor.check_certificate(visit(node), NOW.timestamp())).verdict is Verdict.OK


def test_clocks_that_differ_from_the_hub_s(node: NodeHome) -> None:
    now = time.time() + 60
    for late, told in ((61.5, failed), (-61.5, failed), (6.0, warned), (-6.0, warned)):
        told(lambda late=late: node_doctor.check_clock(node, visit(node, late), now), "differ by")
    assert one(lambda: node_doctor.check_clock(node, visit(node), now)).verdict is Verdict.OK
    failed(lambda: node_doctor.check_clock(node, visit(node), now - 86400), "ahead of this machine's clock")


def test_keys_that_the_hub_does_not_know(node: NodeHome) -> None:
    def check() -> Finding:
        return node_doctor.check_keys(node, visit(node))

    assert one(check).verdict is Verdict.OK
    for path, said in ((node.log_key, failed), (node.key, warned)):
        path.unlink()
        path.with_name(path.name + ".pub").unlink()
        PrivateKey.generate().save(path)
        said(check, "another log key" if said is failed else "could not be asked")
    failed(lambda: node_doctor.check_connectivity(node, visit(node)), "does not accept this node's signature")
    node.key.with_name("node.key.pub").write_text(PrivateKey.generate().public.hex)
    failed(check, "one pair")


def test_software_of_other_versions(node: NodeHome) -> None:
    for theirs, told in (("0.2.0", warned), ("0.3.1", failed), ("1.1.0", failed), ("", failed)):
        told(lambda theirs=theirs: node_doctor.check_versions(visit(node, health=Health(theirs, 0))), "the hub")
    assert one(lambda: node_doctor.check_versions(visit(node))).verdict is Verdict.OK


def test_snapshots_that_are_changed_or_gone(node: NodeHome) -> None:
    def check() -> Finding:
        return node_doctor.check_datasets(node)

    assert one(check).verdict is Verdict.OK
    [snapshot] = node.folder.glob("datasets/*/*.duckdb")
    with snapshot.open("r+b") as file:
        file.seek(5000)
        file.write(b"\x01\x02\x03")
    failed(check, "was changed")
    snapshot.unlink()
    failed(check, "is missing")
    [record] = node.folder.glob("datasets/*/*.json")
    record.write_text("{}")
    failed(check, "damaged")
    engine = open_engine(node.database_file)
    migrate.downgrade(engine, "sojourn.node.migrations", "base")
    migrate.upgrade(engine, "sojourn.node.migrations")
    engine.dispose()
    warned(check, "no dataset")


class NotSealed(PlainProcess):
    """A sandbox by its name alone."""

    name = "bubblewrap"


def test_sandboxes_that_do_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    found = one(lambda: node_doctor.probe(NotSealed(program=node_doctor._PROBE)))
    assert found.verdict is Verdict.FAILURE and "network" in found.sentence and "other processes" in found.sentence
    tighter = Limits(memory=1 << 30)
    failed(lambda: node_doctor.probe(PlainProcess(program=node_doctor._PROBE), tighter), "No limit holds on: memory")
    monkeypatch.setattr(node_doctor, "_PROBE", ("-c", "raise SystemExit"))
    failed(lambda: node_doctor.check_sandbox("none"), "No worker starts")
    silly = (
        "-c",
        "import sys; from sojourn.node import probe, worker; worker.Worker.answer = lambda *_: {}; "
        "probe.main(*sys.argv[1:])",
    )
    failed(lambda: node_doctor.probe(PlainProcess(program=silly)), "does not compute")


def test_the_sandbox_of_this_machine_holds() -> None:
    if best_available() is None:
        pytest.skip("bubblewrap does not start here")
    found = one(lambda: node_doctor.check_sandbox("bubblewrap"))
    assert found.verdict is Verdict.OK, found
