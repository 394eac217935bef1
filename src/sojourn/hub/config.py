"""The hub's home: one folder with its settings, keys, certificates and store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sojourn.errors import ConfigurationError
from sojourn.operations import logs, settings
from sojourn.operations.exposition import ADDRESS
from sojourn.operations.settings import setting

SETTINGS = "hub.yaml"


@dataclass(frozen=True)
class HubHome:
    """The administrator's settings, in `hub.yaml`. ConfigurationError for a value that is none."""

    folder: Path
    name: Annotated[str, Field(min_length=1)] = setting(
        "The federation's name: the origin of the hub's log, and a name on its certificate. Never change it.",
        example="heart.example.org",
    )
    host: Annotated[str, Field(min_length=1)] = setting("The address that the hub listens on.", example="0.0.0.0")
    port: Annotated[int, Field(ge=0, le=65535)] = setting(
        "The port that the hub listens on; 0 takes any free one.", example=8443
    )
    database: str = setting(
        "The hub's database: the URL of a PostgreSQL database of its own; empty for the SQLite file in this folder.",
        example="postgresql://sojourn@db.example.org:5432/hub?sslmode=verify-full",
        default="",
    )
    database_password_file: str = setting(
        "The file that holds the password for this URL, readable by its owner only; empty where ~/.pgpass has it.",
        example="database.password",
        default="",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = setting(
        "How many programs serve the hub on this machine; more than one needs PostgreSQL.", example=4, default=1
    )
    metrics: Annotated[str, Field(pattern=ADDRESS, description="an address with its port")] | None = setting(
        "Where Prometheus may fetch the hub's metrics over plain HTTP; off where it is absent.",
        example="127.0.0.1:9464",
        default=None,
    )
    metrics_beyond_loopback: bool = setting(
        "Allows `metrics` on an address that other machines reach, e.g. a container's own network.",
        example=True,
        default=False,
    )
    log_level: logs.Level = setting(
        "The least important events that the log on standard error holds.", example="info", default="info"
    )

    def __post_init__(self) -> None:
        settings.check(self, SETTINGS)

    @property
    def database_file(self) -> Path:
        """The hub's SQLite file, where no other database is set."""
        return self.folder / "hub.db"

    @property
    def password_file(self) -> Path | None:
        """Where the database's password is, if in a file of its own; a relative name is in this folder."""
        return self.folder / self.database_password_file if self.database_password_file else None

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
        settings.save(self, self.folder / SETTINGS)

    @classmethod
    def load(cls, folder: Path) -> HubHome:
        """Read `hub.yaml`; ConfigurationError on unknown or missing words and on bad values."""
        nobody = ConfigurationError("There is no hub here.", remedy="Run `sojourn hub init`, or give --home.")
        return settings.load(cls, folder / SETTINGS, nobody, folder=folder.resolve())
