"""The node's doctor: a fixed list of checks on one home and its way to the hub. It takes no work, changes nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, select

from sojourn import __version__
from sojourn.analysis.partial import Partial
from sojourn.analysis.population import Population
from sojourn.errors import ConfigurationError, SandboxUnavailable, SiteRefused, SojournError
from sojourn.forms import log_of
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.messages import PROTOCOL, Standing
from sojourn.node.backup import party
from sojourn.node.bubblewrap import Bubblewrap
from sojourn.node.config import NodeHome
from sojourn.node.dataset import load_snapshot
from sojourn.node.prepared import write_population
from sojourn.node.program import MIGRATIONS, link_of
from sojourn.node.sandbox import PlainProcess, Sandbox
from sojourn.node.session import Limits
from sojourn.node.source import digest_of
from sojourn.node.tables import alarms, datasets
from sojourn.statistics.count import Count
from sojourn.storage import checks, finding
from sojourn.storage.backup import look_at
from sojourn.storage.finding import Finding, failure, unexamined, warning, well
from sojourn.wire.reach import Certificate, reach
from sojourn.wire.transport import AccessRefused, call, https_client

SOON = 30  # days before a certificate ends
SKEW, DRIFT = 60.0, 5.0  # seconds that the clock may be from the hub's: more is a failure, a warning
NAMES = (
    *("settings", "home", "keys", "certificate", "clock", "disk", "sandbox", "versions", "database", "log"),
    *("witnesses", "connectivity", "datasets", "histories"),
)
_PROBE = ("-m", "sojourn.node.probe")
_RECOVER = "After a restore: run `sojourn node recover`, then tell the hub's administrator."
_NO_WORKER = (
    "Allow user namespaces for the node's user (sysctl kernel.unprivileged_userns_clone=1, or an AppArmor profile for "
    "bwrap), and let nothing cover /proc (systemd's ProtectProc= and the like); or configure `sandbox: none` and take "
    "the responsibility."
)
_PERSONS = 23
_PATIENCE = 60.0


@dataclass(frozen=True)
class Health:
    """What the hub says to anybody. ahead: seconds that its clock is ahead of ours."""

    software: str
    ahead: float


class Visit:
    """One visit to the hub, whose steps are made when a check first needs them; an error comes again each time."""

    def __init__(self, home: NodeHome, clock: Callable[[], float]) -> None:
        self._home = home
        self._clock = clock

    @cached_property
    def authority(self) -> str:
        """The pinned authority (PEM)."""
        if not self._home.hub:
            raise ConfigurationError(
                "The node has not joined a federation.",
                remedy="Run `sojourn node join LINE`.",
            )
        try:
            return self._home.authority.read_text(encoding="ascii")
        except OSError as error:
            raise ConfigurationError(
                "The pinned authority is missing.", remedy="Restore it from your backup."
            ) from error

    @cached_property
    def certificate(self) -> Certificate:
        """The hub's certificate, once it proved itself."""
        return reach(self._home.hub, self.authority)

    @cached_property
    def health(self) -> Health:
        """Its answer to anybody."""
        _ = self.certificate  # its errors say more
        with https_client(self._home.hub, self.authority, None, 10) as client:
            before = self._clock()
            answer = call(client, "GET", "/v1/health")
            after = self._clock()
        return Health(str(answer.get("software", "")), float(answer["time"]) - (before + after) / 2)

    @cached_property
    def standing(self) -> Standing:
        """Its answer to this node's signature."""
        _ = self.health
        link = link_of(self._home)
        with link.client:
            return link.standing()


def examine(folder: Path, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Every check of NAMES, in that order."""
    try:
        home = NodeHome.load(folder)
    except SojournError as error:
        [settings] = finding.examine([("settings", partial(_raise, error))])
        return [settings, *unexamined(NAMES[1:], "the settings cannot be read")]
    visit = Visit(home, clock)
    keys = [home.key, home.log_key, *([home.exchange_key] if home.exchange_key.exists() else [])]
    found = {
        "settings": lambda: well(f"The node of {home.site}, in {home.federation or 'no federation yet'}."),
        "home": lambda: checks.check_home(home.folder, keys),
        "keys": lambda: check_keys(home, visit),
        "certificate": lambda: check_certificate(visit, clock()),
        "clock": lambda: check_clock(home, visit, clock()),
        "disk": lambda: checks.check_disk(home.folder),
        "sandbox": lambda: check_sandbox(home.sandbox),
        "versions": lambda: check_versions(visit),
        "database": lambda: checks.check_database(party(home).database, MIGRATIONS),
        "log": lambda: checks.check_log(party(home).database, home.log_key, log_of(home.site)),
        "witnesses": lambda: checks.check_witnesses(party(home).database, _RECOVER),
        "connectivity": lambda: check_connectivity(home, visit),
        "datasets": lambda: check_datasets(home),
        "histories": lambda: check_histories(home),
    }
    return finding.examine([(name, found[name]) for name in NAMES])


def check_keys(home: NodeHome, visit: Visit) -> Finding:
    """Both keys can be read, and are those that the hub knows."""
    key, log_key = PrivateKey.load(home.key), PrivateKey.load(home.log_key)
    for path, pair in ((home.key, key), (home.log_key, log_key)):
        if PublicKey.load(path.with_name(path.name + ".pub")) != pair.public:
            return failure(f"{path.name} and {path.name}.pub are not of one pair.", "Restore both from your backup.")
    try:
        known = visit.standing
    except SojournError:
        return warning(
            f"The node's key is {key.public.id}; the hub could not be asked whether it knows it.",
            "See the check `connectivity`.",
        )
    if (known.key, known.log_key) != (key.public.hex, log_key.public.hex):
        return failure("The hub knows another log key of this site.", "Restore log.key from your backup, or join anew.")
    return well(f"The hub knows this node's keys ({key.public.id}).")


def check_certificate(visit: Visit, now: float) -> Finding:
    """The hub's certificate is of the pinned authority, for its name, and holds for a while."""
    found = visit.certificate
    left = found.days_left(now)
    if left < 0:
        return failure("The hub's certificate has expired.", "Ask its administrator for `sojourn hub renew`.")
    if left < SOON:
        return warning(
            f"The hub's certificate ends in {left:.0f} days.", "Ask its administrator for `sojourn hub renew`."
        )
    return well(f"The hub's certificate is of the pinned authority, and ends on {found.ends:%Y-%m-%d}.")


def check_clock(home: NodeHome, visit: Visit, now: float) -> Finding:
    """The clock agrees with the hub's, and is not behind the log."""
    ahead = visit.health.ahead
    sentence = f"The hub's clock and this machine's differ by {abs(ahead):.1f} s"
    if abs(ahead) > SKEW:
        return failure(f"{sentence}: no request is accepted.", "Set the clock by a time server.")
    if abs(ahead) > DRIFT:
        return warning(f"{sentence}.", "Set the clock by a time server.")
    local = checks.check_clock(party(home).database, now, synchronised=True)
    return well(f"{sentence}.") if local.verdict == "ok" else local


def check_versions(visit: Visit) -> Finding:
    """Python and libraries are as required, and the hub's software is of this minor version."""
    local = checks.check_versions()
    if local.verdict != "ok":
        return local
    try:
        hub = visit.health.software
    except SojournError:
        return local
    ours, theirs = _minor(__version__), _minor(hub)
    if ours != theirs:
        remedy = "Upgrade the older of the two; minor versions may differ by one, for a while."
        near = ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1
        say = warning if near else failure
        return say(f"This node runs Sojourn {__version__}, the hub {hub}.", remedy)
    return local


def check_connectivity(home: NodeHome, visit: Visit) -> Finding:
    """Name, way, certificate, answer, and this node's signature, each told apart."""
    try:
        standing = visit.standing
    except AccessRefused as error:
        if error.reason == "clock":
            raise
        return failure(
            f"The hub answers, but does not accept this node's signature ({error.reason or 'refused'}).",
            "Restore node.key and the settings from your backup; where the key is lost, join anew with an invitation.",
        )
    if standing.protocol != PROTOCOL:
        return failure("The hub speaks another protocol.", "Upgrade the older of the two.")
    return well(f"{home.hub} answers, proves who it is and accepts this node's signature.")


def check_sandbox(chosen: str) -> Finding:
    """A worker starts in the sandbox and computes, and the ways out of it are shut."""
    sandbox: Sandbox = PlainProcess(program=_PROBE) if chosen == "none" else Bubblewrap(program=_PROBE)
    said = probe(sandbox)
    if said.verdict == "ok" and chosen == "none":
        return warning(
            "Computations run without a sandbox; they start and compute, with bounded memory and time.",
            "Install bubblewrap and write `sandbox: bubblewrap`, unless you take the responsibility.",
        )
    return said


def probe(sandbox: Sandbox, limits: Limits | None = None) -> Finding:
    """Start the probe in this sandbox, let it compute, and judge what it could do.

    SandboxUnavailable where it does not start. It sees no data, so what it says may be shown.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        session = sandbox.start(Path(folder) / "job")
        try:
            table = Population("doctor", {}, {}, np.arange(_PERSONS, dtype=np.uint32), {})
            write_population(table, session.data / "table.npz")
            session.ask({"load": {"file": "table.npz", "analyses": {"n": {"count": {}}}}}, _PATIENCE)
            [step] = Count().steps({})
            answer = session.ask({"round": {"analysis": "n", "step": step.name, "broadcast": {}}}, _PATIENCE)
            found = session.ask({"examine": None}, _PATIENCE)
        except SiteRefused as error:
            session.close()
            said = (session.job / "worker.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise SandboxUnavailable(
                f"No worker starts in the sandbox ({said[-1][:200] if said else 'it said nothing'}).", remedy=_NO_WORKER
            ) from error
        finally:
            session.close()
    partial = Partial.from_dict(answer["partial"]) if "partial" in answer else None
    if partial is None or [float(value.sum()) for value in partial.arrays.values()] != [_PERSONS]:
        return failure("A worker starts, but does not compute.", "Install Sojourn again, with its requirements.lock.")
    due = {"memory": limits.memory, "processor": limits.processor, "file": limits.file}
    loose = [name for name, most in due.items() if not 0 < found["limits"][name] <= most]
    if loose:
        return failure(f"No limit holds on: {', '.join(loose)}.", "Report this: prlimit does not do its work here.")
    ways = sorted(name for name, is_open in found["open"].items() if is_open)
    if sandbox.name == "bubblewrap" and ways:
        return failure(f"The sandbox does not shut: {', '.join(ways)}.", "Stop the node, and report this.")
    return well(f"A worker starts and computes; {len(found['open'])} ways out are shut, {len(due)} limits hold.")


def check_datasets(home: NodeHome) -> Finding:
    """Every dataset's snapshot is there, and is what was imported."""
    database = party(home).database
    if not database.made:
        return warning("There is no dataset yet.", "Run `sojourn dataset add`.")

    def rows(connection: Connection) -> list[tuple[str, str]]:
        return [(row.name, row.snapshot) for row in connection.execute(select(datasets.c.name, datasets.c.snapshot))]

    found = look_at(database, rows)
    for name, snapshot in found:
        one = load_snapshot(home.folder, name, snapshot)
        if not one.path.is_file():
            remedy = "Run `sojourn dataset add` with the same file and dictionary, or restore it from your backup."
            return failure(f"The snapshot of {name} is missing.", remedy)
        if digest_of(one.path) != one.file_digest:
            return failure(f"The snapshot of {name} was changed.", "Keep it as evidence; restore it from your backup.")
    if not found:
        return warning("There is no dataset yet.", "Run `sojourn dataset add`.")
    return well(f"{len(found)} datasets: every snapshot is there, as it was imported.")


def check_histories(home: NodeHome) -> Finding:
    """No alarm stands about what a researcher asked."""
    database = party(home).database
    live = select(alarms.c.researcher).where(alarms.c.cleared.is_(None))
    found = look_at(database, lambda connection: connection.execute(live).scalars().all()) if database.made else []
    if not found and not home.usual_asks:
        return warning("Histories of asks are not looked at.", "Write `usual_asks: 20`, unless that is meant.")
    if found:
        keys = ", ".join(sorted(PublicKey.from_hex(key).id for key in found))
        remedy = "See `sojourn node show`; then `sojourn airlock clear KEY --reason TEXT`, or `sojourn node revoke`."
        return warning(f"What was asked is unusual: {keys}.", remedy)
    return well("No alarm stands about what researchers asked.")


def _minor(version: str) -> tuple[int, int]:
    parts = version.split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return (-1, -1)


def _raise(error: SojournError) -> Finding:
    raise error
