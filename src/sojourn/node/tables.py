"""The node's tables. They stay inside the institution; `ledger` and `release` say what ever left."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

from sojourn.storage.log import log_tables
from sojourn.storage.witness_tables import witness_tables

metadata = MetaData()
log_tables(metadata)
witness_tables(metadata)

datasets = Table(
    "dataset",
    metadata,
    Column("name", String(80), primary_key=True),  # the table that plans name
    Column("snapshot", String(64), nullable=False),
    Column("dictionary", Text, nullable=False),  # JSON of what is published
    Column("added", Float, nullable=False),
)

stand_ins = Table(
    "stand_in",
    metadata,
    Column("name", String(80), primary_key=True),  # the dataset whose stand-in a custodian supplied
    Column("snapshot", String(64), nullable=False),
    Column("dictionary", String(64), nullable=False),  # digest of the one that it was imported under
    Column("persons", Integer, nullable=False),
    Column("added", Float, nullable=False),
)

approvals = Table(
    "approval",
    metadata,
    Column("project", String(200), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("tables", Text, nullable=False),  # JSON: the datasets that it covers
    Column("approved", Float, nullable=False),
    Column("revoked", Float),
)

runs = Table(
    "run",
    metadata,
    Column("study", String(32), primary_key=True),
    Column("nonce", String(32), nullable=False, unique=True),
    Column("project", String(200), nullable=False),
    Column("researcher", String(64), nullable=False),
    Column("request", Text, nullable=False),  # JSON of the signed envelope
    Column("dataset", String(80), nullable=False),
    Column("snapshot", String(64), nullable=False),
    Column("admitted", Float, nullable=False),
    Column("ended", String(20), nullable=False),  # empty while it runs
)

refused = Table(
    "refused_request",
    metadata,
    Column("study", String(32), primary_key=True),
    Column("request", String(64), nullable=False),  # sha256 of the envelope
    Column("reason", String(40), nullable=False),
)

releases = Table(
    "release",
    metadata,
    Column("study", String(32), primary_key=True),
    Column("analysis", String(40), primary_key=True),
    Column("ask", String(64), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("sites", Text, nullable=False),  # JSON: the sites of the transcript, empty in the first round
    Column("reason", String(40), nullable=False),  # empty where something was released
    Column("sealed", LargeBinary),
    Column("answer", Text),  # JSON of what left, in clear, for the custodian
    Column("tier", String(10), nullable=False),
    Column("note", Text, nullable=False),  # rule and cell, for the custodian alone
    Column("made", Float, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("receipt", Text),  # JSON of the hub's receipt
)

ledger = Table(  # over all snapshots, projects and people of a dataset, for as long as it lives
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("dataset", String(80), nullable=False, index=True),
    Column("study", String(32), nullable=False, index=True),
    Column("analysis", String(40), nullable=False),
    Column("snapshot", String(64), nullable=False, index=True),
    Column("measure", Text, nullable=False),  # JSON: the columns measured
    Column("label", Text, nullable=False),
    Column("digest", String(64), nullable=False),  # of the set
)

person_sets = Table(  # each set once, however often it was told of
    "person_set",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("persons", LargeBinary, nullable=False),  # serialised bitmap
)
