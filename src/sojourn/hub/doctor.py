"""The hub's doctor: a fixed list of checks on one home, whether its program runs or not. It changes nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sojourn.errors import ConfigurationError, SojournError
from sojourn.hub.backup import party
from sojourn.hub.config import HubHome
from sojourn.hub.program import MIGRATIONS, ask
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.storage import checks, finding
from sojourn.storage.finding import Finding, failure, unexamined, warning, well
from sojourn.wire.administration import listens
from sojourn.wire.reach import belongs, reach, read_certificate
from sojourn.wire.transport import call, https_client

SOON = 30  # days before a certificate ends
NAMES = (
    *("settings", "home", "keys", "certificate", "clock", "disk", "versions", "database", "log", "witnesses"),
    "connectivity",
)
_RECOVER = "After a restore: tell every custodian why; each accepts it by `sojourn node accept-log`."
_ANY = ("0.0.0.0", "::")


def examine(folder: Path, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Every check of NAMES, in that order."""
    try:
        home = HubHome.load(folder)
    except SojournError as error:
        [settings] = finding.examine([("settings", partial(_raise, error))])
        return [settings, *unexamined(NAMES[1:], "the settings cannot be read")]
    private = [home.log_key, home.authority / "ca.key", home.authority / "server.key"]
    found = {
        "settings": lambda: well(f"A hub for {home.name}."),
        "home": lambda: checks.check_home(home.folder, private),
        "keys": lambda: check_keys(home),
        "certificate": lambda: check_certificate(home, clock()),
        "clock": lambda: checks.check_clock(party(home).database, clock(), checks.synchronised()),
        "disk": lambda: checks.check_disk(home.folder),
        "versions": checks.check_versions,
        "database": lambda: checks.check_database(party(home).database, MIGRATIONS),
        "log": lambda: checks.check_log(party(home).database, home.log_key, home.name),
        "witnesses": lambda: checks.check_witnesses(party(home).database, _RECOVER),
        "connectivity": lambda: check_connectivity(home),
    }
    return finding.examine([(name, found[name]) for name in NAMES])


def check_keys(home: HubHome) -> Finding:
    """The log's key can be read, and is the one whose public half nodes were told."""
    key = PrivateKey.load(home.log_key)
    if PublicKey.load(home.log_key.with_name("log.key.pub")) != key.public:
        return failure("log.key and log.key.pub are not of one pair.", "Restore both from your backup.")
    return well(f"The log's key is {key.public.id}.")


def check_certificate(home: HubHome, now: float) -> Finding:
    """It is of the hub's key and authority, for the name that it is called by, and holds for a while."""
    authority = read_certificate(home.authority / "ca.pem")
    server = read_certificate(home.authority / "server.pem")
    if not belongs(*(home.authority / name for name in ("server.pem", "server.key", "ca.pem"))):
        return failure("The certificate, its key and the authority do not belong together.", "Run `sojourn hub renew`.")
    if home.host not in (*server.names, *_ANY):
        return failure(f"The certificate is not for {home.host}.", f"Run `sojourn hub renew --dns {home.host}`.")
    left = server.days_left(now)
    if left < 0:
        return failure("The certificate has expired.", "Run `sojourn hub renew`, and restart the hub.")
    if left < SOON:
        return warning(f"The certificate ends in {left:.0f} days.", "Run `sojourn hub renew`, and restart the hub.")
    if authority.days_left(now) < 365:
        return warning(
            f"The authority ends in {authority.days_left(now):.0f} days.",
            "Plan a new hub home: all nodes must join again, with new invitations.",
        )
    return well(f"The certificate is for {', '.join(server.names)}, and ends on {server.ends:%Y-%m-%d}.")


def check_connectivity(home: HubHome) -> Finding:
    """A running hub answers at its own address with its own certificate; a stopped one could have its port."""
    if not listens(home.socket):
        return _stopped(home)
    url = str(ask(home.folder, "show")["url"])
    authority = (home.authority / "ca.pem").read_text(encoding="ascii")
    if home.host in _ANY:
        name = read_certificate(home.authority / "server.pem").names[0]
        at = "127.0.0.1" if home.host == "0.0.0.0" else "::1"
        reach(url.replace(f"[{home.host}]", home.host).replace(home.host, name), authority, at=at)
        return well(f"The hub runs, and proves on port {url.rpartition(':')[2]} that it is {name}.")
    reach(url, authority)
    with https_client(url, authority, None, 10) as client:
        call(client, "GET", "/v1/health")
    return well(f"The hub runs, and answers at {url}.")


def _stopped(home: HubHome) -> Finding:
    family = socket.AF_INET6 if ":" in home.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((home.host, home.port))
        except OSError as error:
            raise ConfigurationError(
                f"The hub does not run, and cannot have {home.host}, port {home.port} ({error.strerror}).",
                remedy="Stop what uses the port, or set another address in hub.yaml.",
            ) from error
    return warning("The hub does not run; its port is free.", f"Start it: sojourn hub start --home {home.folder.name}")


def _raise(error: SojournError) -> Finding:
    raise error
