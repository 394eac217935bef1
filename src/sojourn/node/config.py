"""A node's home: one folder inside the institution with its settings, keys, datasets and store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from sojourn.errors import ConfigurationError
from sojourn.messages import site_name

WORDS = ("site", "hub", "federation", "sandbox", "least_sites", "rules")
SANDBOXES = ("bubblewrap", "none")
SETTINGS = "node.yaml"


@dataclass(frozen=True)
class NodeHome:
    """The custodian's settings.

    site: this site's name in the federation. hub: the hub's address, empty before `node join`. federation: its name.
    sandbox: `bubblewrap`, or `none` on the custodian's own responsibility. least_sites: the smallest roster that this
    site takes part in. rules: the disclosure rules' parameters where they are stricter or looser than the defaults.
    """

    folder: Path
    site: str
    hub: str = ""
    federation: str = ""
    sandbox: str = "bubblewrap"
    least_sites: int = 3
    rules: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        site_name(self.site)
        if self.sandbox not in SANDBOXES:
            raise ConfigurationError("Unknown sandbox.", remedy=f"Write one of: {', '.join(SANDBOXES)}.")
        if type(self.least_sites) is not int or self.least_sites < 1:
            raise ConfigurationError("least_sites is not a whole number from 1.", remedy="Write e.g. `least_sites: 3`.")

    @property
    def database(self) -> Path:
        """The node's store: approvals, runs, releases, ledger, log."""
        return self.folder / "node.db"

    @property
    def key(self) -> Path:
        """The key that the node proves on every request and signs its releases with."""
        return self.folder / "node.key"

    @property
    def log_key(self) -> Path:
        """The key that signs the node's checkpoints."""
        return self.folder / "log.key"

    @property
    def authority(self) -> Path:
        """The pinned certificate authority of the hub."""
        return self.folder / "hub-ca.pem"

    @property
    def socket(self) -> Path:
        """The local administration socket: the only thing that listens at a node."""
        return self.folder / "admin.sock"

    @property
    def jobs(self) -> Path:
        """Analysis tables of runs in hand, removed at each run's end."""
        return self.folder / "jobs"

    def save(self) -> None:
        """Write `node.yaml`."""
        document = {word: getattr(self, word) for word in WORDS}
        text = yaml.safe_dump({**document, "rules": dict(self.rules)}, sort_keys=False)
        (self.folder / SETTINGS).write_text(text, encoding="utf-8")

    def joined(self, hub: str, federation: str) -> NodeHome:
        """The same settings with the hub's address."""
        return replace(self, hub=hub, federation=federation)

    @classmethod
    def load(cls, folder: Path) -> NodeHome:
        """Read `node.yaml`; ConfigurationError on unknown, missing or senseless words."""
        try:
            document = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigurationError(
                "There is no node here.", remedy="Run `sojourn node init` first, or give --home."
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{SETTINGS} is damaged.", remedy="Restore it from your backup.") from error
        if not isinstance(document, dict) or set(document) != set(WORDS) or not isinstance(document["rules"], dict):
            raise ConfigurationError(
                f"{SETTINGS} has unknown or missing words.", remedy=f"It has exactly: {', '.join(WORDS)}."
            )
        return cls(folder.resolve(), **document)
