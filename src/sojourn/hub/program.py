"""The hub as a program: makes its home, opens it, serves it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sojourn import __version__
from sojourn.errors import ConfigurationError
from sojourn.hub.backup import party
from sojourn.hub.config import HubHome
from sojourn.hub.diagram import diagram
from sojourn.hub.service import Hub
from sojourn.hub.store import HubStore
from sojourn.hub.studies import ABORT_AFTER
from sojourn.hub.tables import metadata
from sojourn.hub.workers import Workers
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.operations.exposition import Exposition
from sojourn.operations.logs import SILENT, Log
from sojourn.operations.readiness import NOT_RUNNING
from sojourn.operations.readiness import REASONS as READY_REASONS
from sojourn.storage.engine import open_engine
from sojourn.storage.lock import HomeLock
from sojourn.storage.migrate import migrate_as_owner, open_migrated
from sojourn.storage.safekeeping import hands
from sojourn.storage.verifier import Verifier
from sojourn.versions import advice
from sojourn.wire.address import Address
from sojourn.wire.administration import administer, administration, listens
from sojourn.wire.authorities import create_authority, issue_server
from sojourn.wire.reach import read_certificate
from sojourn.wire.serving import Server, listen, serve_locally, serve_on, settle_process

MIGRATIONS = "sojourn.hub.migrations"
GRACE = 3  # seconds that requests in hand may take when the hub ends


def create(
    folder: Path,
    name: str,
    host: str,
    port: int,
    names: list[str],
    database: str = "",
    password_file: Path | None = None,
) -> HubHome:
    """A new hub: its keys, its certificate authority, its empty store. ConfigurationError where there is one.

    database: the URL of a PostgreSQL database that can be reached now; empty: an SQLite file in the folder.
    """
    if (folder / "hub.yaml").exists():
        raise ConfigurationError("There is a hub here already.", remedy="Use it, or choose another --home.")
    secret = str(password_file.resolve()) if password_file else ""
    if database:
        open_engine(database, password_file).dispose()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    home = HubHome(folder.resolve(), name, host, port, database, secret)
    home.authority.mkdir(mode=0o700)
    create_authority(home.authority)
    issue_server(home.authority, sorted({host, *names}))
    PrivateKey.generate().save(home.log_key)
    home.save()
    return home


def renew(home: HubHome, names: list[str]) -> list[str]:
    """A new server certificate for a year, for its present names and these; what it is for. The key stays."""
    present = read_certificate(home.authority / "server.pem").names
    wanted = sorted({*present, *names})
    issue_server(home.authority, wanted)
    return wanted


def open_hub(home: HubHome, clock: Callable[[], float] = time.time, abort_after: float = ABORT_AFTER) -> Hub:
    """The hub of this home, its store brought up to date; not started. abort_after: see `Studies`."""
    engine = open_migrated(home.database or home.database_file, home.password_file, MIGRATIONS)
    key = PrivateKey.load(home.log_key)
    store = HubStore(engine, metadata, key, home.name, lambda: datetime.fromtimestamp(clock(), UTC))
    return Hub(store, clock, abort_after, home.folder)


def migrate(folder: Path, owner: str, password_file: Path | None = None) -> str:
    """Bring the PostgreSQL database of a hub that is stopped up to date as the owner of its tables; the revision."""
    home = HubHome.load(folder)
    with HomeLock(home.folder):
        return migrate_as_owner(owner, password_file, MIGRATIONS, home.database)


class HubProgram:
    """A served hub: HTTPS for nodes and researchers, a local socket for its administrator."""

    def __init__(self, home: HubHome, log: Log = SILENT) -> None:
        if home.workers > 1 and not home.database:
            raise ConfigurationError(
                "Several workers need a PostgreSQL database.", remedy="Set `database`, or leave `workers` at 1."
            )
        self._lock = HomeLock(home.folder)
        self.home = home
        self.log = log
        self.hub = open_hub(home)
        self.hub.tell(log)
        self.verifier = Verifier(self.hub.store, lambda words: log.error("log.damaged"))
        self._metrics: Exposition | None = None
        listener = listen(home.host, home.port)
        self._workers = Workers(home.folder, home.workers - 1, listener.fileno())
        self.server: Server = serve_hub(home, self.hub, listener)
        local = administration(functions(home, self.hub, self.address))
        self.local: Server = serve_locally(local, home.socket, grace=1)

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.home.host}]" if ":" in self.home.host else self.home.host
        return f"https://{host}:{self.server.port}"

    def address(self, token: str = "") -> Address:
        """What nodes and researchers pin."""
        pem = (self.home.authority / "ca.pem").read_text(encoding="ascii")
        key = PublicKey.from_hex(self.hub.store.public_key.hex)
        return Address(self.url, self.home.name, pem, key.hex, token)

    def start(self) -> None:
        """Take up running studies and answer requests; AuditError where the log does not verify."""
        settle_process()
        self.verifier.start()
        self.hub.start()
        self.server.start()
        self._workers.start()
        self.local.start()
        if self.home.metrics is not None:
            beyond = self.home.metrics_beyond_loopback
            self._metrics = Exposition(self.hub.metrics.registry, self.home.metrics, beyond)
        self.log.info("program.started", own=__version__)

    def stop(self) -> None:
        """End within bounded time; nothing in hand is lost.

        At once: not ready, waiting polls are answered. Then: requests in hand end, for `GRACE` seconds at most; what
        they wrote is committed; the socket, the store and the lock are given up.
        """
        began = time.monotonic()
        self.hub.bell.close()
        self.log.info("program.ending")
        self._workers.stop()
        self.server.stop()
        self.local.stop()
        self.verifier.close()
        if self._metrics is not None:
            self._metrics.close()
        self.hub.close()
        self._lock.release()
        self.log.info("program.ended", seconds=round(time.monotonic() - began, 3))


def serve_hub(home: HubHome, hub: Hub, listener: socket.socket) -> Server:
    """The hub's HTTPS on a bound socket, not yet started."""
    from sojourn.hub.api import application  # a hub alone needs FastAPI, not every command

    certificate, key = home.authority / "server.pem", home.authority / "server.key"
    return serve_on(application(hub), listener, cert=certificate, key=key, grace=GRACE)


def versions(hub: Hub, site: str) -> dict[str, str]:
    """A node's version, and what its administrators should do where it differs from the hub's."""
    software = hub.software_of(site)
    return {"software": software, "advice": advice(f"the node of {site}", software, "the hub")}


def functions(home: HubHome, hub: Hub, address: Callable[[str], Address]) -> dict[str, Callable[..., Any]]:
    """What an administrator may do on the machine of the hub."""

    def show() -> dict[str, Any]:
        return {
            "address": address("").encode(),
            "url": address("").url,
            "software": __version__,
            "sites": [view.model_dump() | versions(hub, view.site) for view in hub.site_views()],
            "clocks": {site: f"{ahead:+.0f} s" for site, ahead in hub.clocks().items()},
            "studies": [{"study": row["id"], "title": row["title"]} for row in hub.store.live_studies()],
            "diagram": diagram(hub),
            "log": hub.witnessing.facts(),
        }

    def invite(site: str) -> str:
        return address(hub.invite(site)).encode()

    def remove(site: str) -> str:
        return hub.remove(site)

    def add_project(name: str) -> None:
        hub.add_project(name)

    def add_member(project: str, key: str) -> None:
        hub.add_member(project, key)

    def verify() -> dict[str, Any]:
        report = hub.store.verify()
        return {"ok": report.ok, "problems": [str(problem) for problem in report.problems]}

    return {
        "show": show,
        "invite": invite,
        "remove": remove,
        "add_project": add_project,
        "add_member": add_member,
        "accept_log": hub.accept_log,
        "verify": verify,
        "checkpoint": hub.store.checkpoint,
        "ready": hub.ready.reasons,
        "metrics": hub.metrics.text,
        **hands(party(home), lambda entry: hub.store.write(entry, lambda connection: None)),
    }


def ask(folder: Path, name: str, /, **arguments: Any) -> Any:
    """Call one of `functions` of the running hub of this home; ConfigurationError where it does not run."""
    home = HubHome.load(folder)
    if not listens(home.socket):
        raise ConfigurationError("The hub is not running.", remedy="Start it with `sojourn hub start`.")
    return administer(home.socket, name, **arguments)


def not_ready(folder: Path) -> list[str]:
    """What keeps the hub of this home from being ready, in words for people; empty: it is ready."""
    home = HubHome.load(folder)
    if not listens(home.socket):
        return [NOT_RUNNING]
    return [READY_REASONS[word] for word in administer(home.socket, "ready")]
