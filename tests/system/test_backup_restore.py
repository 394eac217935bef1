"""Backups of a working federation, restored: the restored one works; what is damaged or strange is refused."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from federation_over_tls import SITES, LocalFederation, federation
from federation_processes import until
from pyrage.x25519 import Identity
from sqlalchemy import text

from sojourn.cli import main
from sojourn.errors import AuditError, ConfigurationError, IdentityError, SojournError
from sojourn.hub import backup as hub_backup
from sojourn.hub.config import HubHome
from sojourn.node import backup as node_backup
from sojourn.node import doctor as node_doctor
from sojourn.node.config import NodeHome
from sojourn.node.program import ask
from sojourn.storage import archive, checks
from sojourn.storage.backup import Database
from sojourn.storage.safekeeping import WORK
from sojourn.storage.sealing import Key, Seal

PHRASE = "correct horse battery staple"


@pytest.fixture(scope="module")
def wards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFederation]:
    """A federation that has done a study."""
    with federation(tmp_path_factory.mktemp("wards")) as made:
        made.study()
        yield made


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.generate()


@pytest.fixture(scope="module")
def hub_archive(wards: LocalFederation, identity: Identity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The running hub's backup, sealed to the identity."""
    file = tmp_path_factory.mktemp("archives") / "hub.age"
    hub_backup.back_up(wards.home("hub"), file, Seal.to_recipients([str(identity.to_public())]))
    return file


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(PHRASE + "\n")
    path.chmod(0o600)
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def kinds(federation: LocalFederation) -> list[str]:
    """The kinds of all entries of the hub's log."""
    rows = federation.hub.store.read(lambda connection: connection.execute(text("SELECT data FROM log_entry")).all())
    return [json.loads(row[0])["kind"] for row in rows]


def test_every_file_of_a_home_is_kept_or_made_anew(wards: LocalFederation) -> None:
    anew = {"admin.sock", "lock", f"{WORK}.lock", "journal.log", "hub.db", "node.db", "exchange.key"}
    anew |= {f"{name}{end}" for name in ("hub.db", "node.db") for end in ("-wal", "-shm")}
    for name in ("hub", *SITES):
        home = wards.home(name)
        kept = {home / file for file in hub_backup.FILES}
        if name != "hub":
            kept = {*node_backup._files(NodeHome.load(home), True), home / node_backup.REGISTER}
        found = {path for path in home.rglob("*") if not path.is_dir() and "jobs" not in path.parts}
        assert {str(path.relative_to(home)) for path in found - kept} <= anew
        assert all(path.is_file() for path in kept)


def test_a_restored_federation_finishes_a_study(wards: LocalFederation, tmp_path: Path, identity: Identity) -> None:
    """Hub and one site burn down; both come back from their backups, made while they ran, and go on."""
    seal = Seal.to_recipients([str(identity.to_public())])
    names = ("hub", SITES[0])
    files = {name: tmp_path / f"{name}.age" for name in names}
    for name in names:
        make = hub_backup.back_up if name == "hub" else node_backup.back_up
        kept = make(wards.home(name), files[name], seal)
        assert left(wards.home(name) / WORK) == []
        assert files[name].stat().st_mode & 0o777 == 0o600
        entry = wards.hub.store if name == "hub" else wards.node(name).store
        facts = {"manifest": kept.manifest.digest, "sealed": "recipient"}
        assert entry.receipt_of("", "backup.made", facts).index >= kept.document()["entries"]
    before = kinds(wards)
    for name in names:
        wards.lose(name)
    key = Key((identity,))
    hub_backup.restore(files["hub"], key, wards.home("hub"))
    node_backup.restore(files[SITES[0]], key, wards.home(SITES[0]))
    for name in names:
        wards.start(name)
    assert kinds(wards)[: len(before) - 1] == before[:-1]  # all but the backup's own entry
    results = wards.study()
    assert results["ages"].sites == dict.fromkeys(SITES, "contributed")
    assert left(tmp_path) == sorted(path.name for path in files.values())


def test_an_older_hub_is_noticed_and_told_what_to_do(wards: LocalFederation, tmp_path: Path) -> None:
    """A hub that comes back without its last study: the node refuses its log until its custodian accepts it."""
    hub_backup.back_up(wards.home("hub"), tmp_path / "hub.tar", Seal.plain())
    wards.study()
    site, node = SITES[0], wards.home(SITES[0])
    wards.lose("hub")
    hub_backup.restore(tmp_path / "hub.tar", Key(), wards.home("hub"))
    wards.start("hub")
    wards.restart(site)  # it asks at once
    until("refused", lambda: wards.node(site).witnessing.suspended())
    remedy = "Say why, and accept."
    found = checks.check_witnesses(Database(node / "node.db"), remedy)
    assert found.verdict == "failure" and "wards.test is not accepted here" in found.sentence
    until("told", lambda: checks.check_witnesses(Database(wards.home("hub") / "hub.db"), remedy).verdict == "failure")
    ask(node, "accept_log", reason="restored from the backup of a test")
    wards.restart(site)
    assert wards.study()["ages"].sites == dict.fromkeys(SITES, "contributed")
    assert checks.check_witnesses(Database(node / "node.db"), remedy).verdict == "ok"


@pytest.mark.nightly
def test_twenty_of_twenty_backups_during_writes_are_good(wards: LocalFederation, tmp_path: Path) -> None:
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not stop.is_set():
            wards.hub.add_project(f"p{len(written)}-{tmp_path.name}")
            written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = []
        for number in range(20):
            file = tmp_path / f"{number}.tar"
            kept = hub_backup.back_up(wards.home("hub"), file, Seal.plain())
            hub_backup.restore(file, Key(), tmp_path / f"home-{number}")
            sizes.append(kept.document()["entries"])
    finally:
        stop.set()
        writer.join()
    assert sizes == sorted(set(sizes)) and len(written) > 20  # each later than the one before: nobody was stopped
    for number in range(20):
        with closing(sqlite3.connect(tmp_path / f"home-{number}" / "hub.db")) as copy:
            assert copy.execute("SELECT count(*) FROM log_entry").fetchone() == (sizes[number],)
            projects = copy.execute("SELECT count(*) FROM project").fetchone()[0]
            entries = [json.loads(row[0])["kind"] for row in copy.execute("SELECT data FROM log_entry")]
            assert entries.count("project.added") == projects


def spoiled(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_flipped_byte_and_a_cut_are_refused(
    hub_archive: Path, wards: LocalFederation, identity: Identity, tmp_path: Path, part: float, sealed: bool
) -> None:
    file, key = hub_archive, Key((identity,))
    if not sealed:
        file, key = hub_archive.with_suffix(".tar"), Key()
        if not file.exists():
            hub_backup.back_up(wards.home("hub"), file, Seal.plain())
    data = file.read_bytes()
    # the last tenth of a thousandth of a plain tar may be its padding, in which nothing is kept
    place = min(int(len(data) * part), len(data) - 1 if sealed else len(data) - 20_000)
    for made in (spoiled(data, place), data[:place]):
        bad = tmp_path / "bad"
        bad.write_bytes(made)
        with pytest.raises(SojournError) as refused:
            hub_backup.restore(bad, key, tmp_path / "home")
        assert refused.value.remedy
        assert left(tmp_path) == ["bad"]


@pytest.mark.long
def test_the_wrong_key_passphrase_or_kind_is_refused(
    hub_archive: Path, wards: LocalFederation, identity: Identity, passphrase: Path, tmp_path: Path
) -> None:
    sealed = tmp_path / "sealed"
    node_backup.back_up(wards.home(SITES[0]), sealed, Seal.to_passphrase(passphrase), data=False)
    plain = tmp_path / "plain"
    node_backup.back_up(wards.home(SITES[0]), plain, Seal.plain())
    right = Key((identity,))
    cases: list[tuple[Callable[[], object], type[SojournError], str]] = [
        (lambda: hub_backup.restore(hub_archive, Key((Identity.generate(),)), home), IdentityError, "does not open"),
        (lambda: hub_backup.restore(hub_archive, Key(), home), IdentityError, "sealed to a key"),
        (lambda: node_backup.restore(sealed, Key(passphrase="wrong " + PHRASE), home), IdentityError, "passphrase"),
        (lambda: node_backup.restore(sealed, right, home), IdentityError, "sealed to a passphrase"),
        (lambda: node_backup.restore(hub_archive, right, home), ConfigurationError, "backup of a hub"),
        (lambda: hub_backup.restore(plain, Key(), home), ConfigurationError, "backup of a node"),
        (lambda: hub_backup.restore(hub_archive, right, wards.home("hub")), ConfigurationError, "already"),
        (lambda: hub_backup.restore(passphrase, Key(), home), ConfigurationError, "damaged|not a backup"),
        (lambda: hub_backup.back_up(wards.home("hub"), hub_archive, Seal.plain()), ConfigurationError, "already"),
    ]
    home = tmp_path / "home"
    before = left(tmp_path)
    for act, kind, said in cases:
        with pytest.raises(kind, match=said) as refused:
            act()
        assert refused.value.remedy
        assert left(tmp_path) == before
    node_backup.restore(sealed, Key(passphrase=PHRASE), home)
    assert list(home.rglob("*.duckdb")) == [] and len(list(home.rglob("datasets/*/*.json"))) == 1
    assert "is missing" in node_doctor.check_datasets(NodeHome.load(home)).sentence
    wards.add(SITES[0], home)  # the same file under the same dictionary is the same snapshot
    assert node_doctor.check_datasets(NodeHome.load(home)).verdict == "ok"


def test_a_plain_archive_in_the_place_of_a_sealed_one_is_refused(
    wards: LocalFederation, identity: Identity, tmp_path: Path
) -> None:
    file = tmp_path / "hub.age"
    hub_backup.back_up(wards.home("hub"), file, Seal.plain())
    with pytest.raises(IdentityError, match="not sealed"):
        hub_backup.restore(file, Key((identity,)), tmp_path / "home")


def test_a_log_that_was_altered_is_neither_kept_nor_restored(
    hub_archive: Path, identity: Identity, tmp_path: Path, wards: LocalFederation
) -> None:
    home = tmp_path / "home"
    hub_backup.restore(hub_archive, Key((identity,)), home)
    with closing(sqlite3.connect(home / "hub.db", isolation_level=None)) as stranger:
        stranger.execute("DROP TRIGGER log_entry_no_update")
        stranger.execute(
            "UPDATE log_entry SET data = replace(data, 'administrator', 'administratox') WHERE position = 0"
        )
    with pytest.raises(AuditError, match="does not verify"):
        hub_backup.back_up(home, tmp_path / "bad", Seal.plain())
    # The same, by someone who makes a whole archive of it: manifest and digests are right, the log is not.
    names = ["database", *hub_backup.FILES]
    paths = [home / ("hub.db" if name == "database" else name) for name in names]
    told: list[archive.Manifest] = []
    archive.read(hub_archive, Key((identity,)), told.append, lambda due, pieces: [*pieces])  # type: ignore[func-returns-value]
    records = [archive.record(name, path) for name, path in zip(names, paths, strict=True)]
    with (tmp_path / "forged").open("wb") as file:
        archive.write(file, Seal.plain(), told[0].model_copy(update={"members": records}), paths)
    with pytest.raises(AuditError, match="does not verify"):
        hub_backup.restore(tmp_path / "forged", Key(), tmp_path / "second")
    assert left(tmp_path) == ["forged", "home"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB, which neither the archive nor the home fits on."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_no_half_file(
    wards: LocalFederation, hub_archive: Path, identity: Identity, small_disk: Path
) -> None:
    before = len(kinds(wards))
    for act in (
        lambda: hub_backup.back_up(wards.home("hub"), small_disk / "hub.tar", Seal.plain()),
        lambda: hub_backup.back_up(
            wards.home("hub"), small_disk / "hub.age", Seal.to_recipients([str(identity.to_public())])
        ),
        lambda: hub_backup.restore(hub_archive, Key((identity,)), small_disk / "home"),
    ):
        with pytest.raises(ConfigurationError, match="no space") as refused:
            act()
        assert "Free some" in refused.value.remedy
        assert left(small_disk) == [] and left(wards.home("hub") / WORK) == []
    assert len(kinds(wards)) == before  # nothing was made, nothing is logged


def test_a_stopped_home_is_backed_up_as_it_stands(
    hub_archive: Path, identity: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the commands, with a home that was killed: its last writes are still in SQLite's own log."""
    home = tmp_path / "home"
    (tmp_path / "key").write_text(f"# made for a test\n{identity}\n")
    (tmp_path / "key").chmod(0o600)
    main_quietly(["hub", "restore", str(hub_archive), "--identity", str(tmp_path / "key"), "--home", str(home)])
    assert "accept-log" in capsys.readouterr().out
    file = str(tmp_path / "again.age")
    main_quietly(["hub", "backup", file, "--recipient", str(identity.to_public()), "--home", str(home), "--json"])
    kept = json.loads(capsys.readouterr().out)
    with pytest.raises(SystemExit):
        main(["hub", "backup", str(tmp_path / "third"), "--home", str(home)])
    assert "--recipient" in capsys.readouterr().err
    main_quietly(["hub", "restore", file, "--identity", str(tmp_path / "key"), "--home", str(tmp_path / "b"), "--json"])
    restored = json.loads(capsys.readouterr().out)
    assert (restored["manifest"], restored["entries"]) == (kept["manifest"], kept["entries"])
    assert HubHome.load(tmp_path / "b").name == "wards.test"


def main_quietly(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code in (0, None)
