"""The hub's home: one folder with its settings, keys, certificates and store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from sojourn.errors import ConfigurationError

WORDS = ("name", "host", "port")


@dataclass(frozen=True)
class HubHome:
    """name: the log's origin and the name on the certificate. host, port: where it listens (port 0: any free one)."""

    folder: Path
    name: str
    host: str
    port: int

    @property
    def database(self) -> Path:
        """The hub's store."""
        return self.folder / "hub.db"

    @property
    def log_key(self) -> Path:
        """The key that signs the hub's checkpoints."""
        return self.folder / "log.key"

    @property
    def authority(self) -> Path:
        """The folder of the certificate authority."""
        return self.folder / "authority"

    @property
    def socket(self) -> Path:
        """The local administration socket."""
        return self.folder / "admin.sock"

    def save(self) -> None:
        """Write `hub.yaml`."""
        text = yaml.safe_dump({word: getattr(self, word) for word in WORDS}, sort_keys=False)
        (self.folder / "hub.yaml").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> HubHome:
        """Read `hub.yaml`; ConfigurationError on unknown or missing words."""
        path = folder / "hub.yaml"
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigurationError(
                "There is no hub here.", remedy="Run `sojourn hub init`, or give --home."
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigurationError("hub.yaml is damaged.", remedy="Restore it from your backup.") from error
        if not isinstance(document, dict) or set(document) != set(WORDS):
            remedy = f"It has exactly: {', '.join(WORDS)}."
            raise ConfigurationError("hub.yaml has unknown or missing words.", remedy=remedy)
        return cls(folder.resolve(), str(document["name"]), str(document["host"]), int(document["port"]))
