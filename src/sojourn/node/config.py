"""A node's home: one folder inside the institution with its settings, keys, datasets and store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from sojourn.errors import ConfigurationError
from sojourn.forms import site_name
from sojourn.operations import logs, settings
from sojourn.operations.settings import setting

SETTINGS = "node.yaml"
STAND_INS = "rehearsal"  # folder of synthetic stand-ins


@dataclass(frozen=True)
class NodeHome:
    """The custodian's settings, in `node.yaml`. ConfigurationError for a value that is none."""

    folder: Path
    site: str = setting("This site's name in the federation. Never change it after `node join`.", example="Cleveland")
    hub: str = setting(
        "The hub's address; empty before `node join`, which writes it.",
        example="https://hub.heart.example.org:8443",
        default="",
        always_written=True,
    )
    federation: str = setting(
        "The federation's name; empty before `node join`, which writes it.",
        example="heart.example.org",
        default="",
        always_written=True,
    )
    sandbox: Literal["bubblewrap", "none"] = setting(
        "What computations are sealed in; `none` is on the custodian's own responsibility.",
        example="bubblewrap",
        default="bubblewrap",
        always_written=True,
    )
    least_sites: Annotated[int, Field(ge=1)] = setting(
        "The smallest roster that this site takes part in.", example=3, default=3, always_written=True
    )
    masking: Literal["allowed", "required", "refused"] = setting(
        "Whether this site takes part in masked plans, in which only sums over all sites can be seen: `allowed`, "
        "`required` (in nothing else), or `refused`.",
        example="required",
        default="allowed",
    )
    overlaps: Annotated[Mapping[str, list[str]], Field(description="a mapping of tables to lists of sites")] = setting(
        "With which other sites the number of persons in common may be counted, by the name of the table: what the "
        "custodians have agreed on. Without it, with none.",
        example={"patients": ["Hungary", "Zurich"]},
        default=dict,
    )
    least_masked: Annotated[int, Field(ge=3)] = setting(
        "The smallest roster of a masked plan that this site takes part in; never below 3.", example=5, default=3
    )
    masked_pace: Annotated[float, Field(ge=0)] = setting(
        "Seconds at whose whole multiples after the ask an answer of a masked plan leaves that may rest on records; "
        "choose more than the slowest takes here, else a site without data is told by its haste. 0: at once.",
        example=30.0,
        default=5.0,
    )
    rules: Mapping[str, Any] = setting(
        "The disclosure rules' parameters where they differ from the defaults: see the page on disclosure rules.",
        example={"threshold": 20},
        default=dict,
        always_written=True,
    )
    jurisdictions: Annotated[list[str], Field(description="a list of names")] = setting(
        "Published thresholds that hold at this site, by name, beside `rules`; of each value the strictest holds: "
        "see the page on disclosure rules.",
        example=["CMS cell size"],
        default=list,
    )
    dataset_rules: Mapping[str, Any] = setting(
        "Stricter parameters for single datasets, by the name of their table; of each value the stricter one holds.",
        example={"registry": {"threshold": 20, "rounding": "midpoint 6"}},
        default=dict,
    )
    privacy: Mapping[str, Any] = setting(
        "Datasets that answer under formal privacy only, each with its budget: see the page on formal privacy.",
        example={"patients": {"epsilon": 4.0, "release": 0.25}},
        default=dict,
    )
    most_refusals: Annotated[int, Field(ge=0)] = setting(
        "How many asks of one researcher on one dataset may be refused or fail within seven days, before no more are "
        "computed: each refusal is a bit. 0: no bound.",
        example=20,
        default=20,
    )
    usual_asks: Annotated[int, Field(ge=0)] = setting(
        "How many analyses a day a researcher usually asks of this site, until it knows her own number; ten times "
        "as many raise an alarm, as do asks out of scope or for few persons. 0: no history is looked at.",
        example=20,
        default=20,
    )
    repeats: bool = setting(
        "Whether an ask that was answered in another study gets the stored bytes at once; how soon it comes tells that "
        "somebody had asked. Where not, it is computed again.",
        example=True,
        default=True,
    )
    database: str = setting(
        "The node's database: the URL of a PostgreSQL database of its own; empty for the SQLite file in this folder.",
        example="postgresql://sojourn@db.example.org:5432/node?sslmode=verify-full",
        default="",
    )
    database_password_file: str = setting(
        "The file that holds the password for this URL, readable by its owner only; empty where ~/.pgpass has it.",
        example="database.password",
        default="",
    )

    sources: Annotated[
        Mapping[str, Mapping[str, str]], Field(description="a mapping of names to mappings of texts")
    ] = setting(
        "Databases inside the institution whose tables `sojourn harmonise` may read, by the names that plans use: each "
        "with `file` (SQLite or DuckDB), or `url` (PostgreSQL) and, where ~/.pgpass has no password, `password_file`.",
        example={"laboratory": {"url": "postgresql://reader@db.example.org/lab", "password_file": "lab.password"}},
        default=dict,
    )

    metrics_file: str = setting(
        "A file for node_exporter's textfile collector, written anew every 15 s; for the custodian's monitoring alone.",
        example="/var/lib/node_exporter/sojourn.prom",
        default="",
    )
    log_level: logs.Level = setting(
        "The least important events that the log on standard error holds.", example="info", default="info"
    )

    def __post_init__(self) -> None:
        settings.check(self, SETTINGS)
        site_name(self.site)

    @property
    def database_file(self) -> Path:
        """The node's SQLite file, where no other database is set."""
        return self.folder / "node.db"

    @property
    def password_file(self) -> Path | None:
        """Where the database's password is, if in a file of its own; a relative name is in this folder."""
        return self.folder / self.database_password_file if self.database_password_file else None

    @property
    def key(self) -> Path:
        """The key that the node proves on every request and signs its releases with."""
        return self.folder / "node.key"

    @property
    def log_key(self) -> Path:
        """The key that signs the node's checkpoints."""
        return self.folder / "log.key"

    @property
    def exchange_key(self) -> Path:
        """The key that this site agrees on masks with, and that shares of joint tests are sealed to."""
        return self.folder / "exchange.key"

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

    @property
    def stand_ins(self) -> Path:
        """Synthetic stand-ins for rehearsals, laid out as the datasets of a home are."""
        return self.folder / STAND_INS

    def save(self) -> None:
        """Write `node.yaml`."""
        settings.save(self, self.folder / SETTINGS)

    def joined(self, hub: str, federation: str) -> NodeHome:
        """The same settings with the hub's address."""
        return replace(self, hub=hub, federation=federation)

    @classmethod
    def load(cls, folder: Path) -> NodeHome:
        """Read `node.yaml`; ConfigurationError on unknown or missing words and on bad values."""
        nobody = ConfigurationError("There is no node here.", remedy="Run `sojourn node init` first, or give --home.")
        return settings.load(cls, folder / SETTINGS, nobody, folder=folder.resolve())
