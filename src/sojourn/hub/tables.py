"""The hub's tables. No record of a person is ever in them: releases, requests, sites, projects."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

from sojourn.storage.log import log_tables
from sojourn.storage.witness_tables import witness_tables

metadata = MetaData()
log_tables(metadata)
witness_tables(metadata)

projects = Table("project", metadata, Column("name", String(80), primary_key=True))

members = Table(
    "member",
    metadata,
    Column("project", ForeignKey("project.name"), primary_key=True),
    Column("key", String(64), primary_key=True),
)

tokens = Table(
    "join_token",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("site", String(80), nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Boolean, nullable=False),
)

sites = Table(
    "site",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("log_key", String(64), nullable=False),
    Column("software", String(40), nullable=False),
    Column("published", Text, nullable=False),  # JSON of messages.Publish
)

removed_keys = Table(
    "removed_key",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("site", String(80), nullable=False),
    Column("removed", Float, nullable=False),
)

seal_keys = Table(
    "seal_key",
    metadata,
    Column("public", String(64), primary_key=True),
    Column("private", LargeBinary, nullable=False),
    Column("made", Float, nullable=False),
)

studies = Table(
    "study",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", ForeignKey("project.name"), nullable=False),
    Column("researcher", String(64), nullable=False),
    Column("title", String(200), nullable=False),
    Column("request", Text, nullable=False),  # JSON of the signed envelope
    Column("plan", String(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("message", Text, nullable=False),
    Column("submitted", Float, nullable=False),
    Column("finished", Float),
    Column("expires", Float, nullable=False),
    Column("exchange", Text),  # JSON of a masked study: site → its stated exchange key
)

asks = Table(
    "ask",
    metadata,
    Column("study", ForeignKey("study.id"), primary_key=True),
    Column("analysis", String(40), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("document", Text, nullable=False),  # JSON of messages.AskDocument
    Column("after", Text, nullable=False),  # JSON: digests of the asks before it
    Column("sites", Text, nullable=False),  # JSON: the sites whose releases it rests on
)

tasks = Table(
    "task",
    metadata,
    Column("study", ForeignKey("study.id"), primary_key=True),
    Column("analysis", String(40), primary_key=True),
    Column("ask", String(64), primary_key=True),
    Column("site", String(80), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("state", String(20), nullable=False),  # waiting, contributed, not released, no answer
    Column("reason", String(40), nullable=False),
    Column("answer", Text),  # JSON of the signed release
    Column("bytes", Integer, nullable=False),
    Column("dispatched", Float, nullable=False),
    Column("answered", Float),
    Column("review", Float),  # since when its answer waits for a checker there
)
Index("task_of_site", tasks.c.site, tasks.c.state)

results = Table(
    "result",
    metadata,
    Column("study", ForeignKey("study.id"), primary_key=True),
    Column("analysis", String(40), primary_key=True),
    Column("estimate", Text),  # JSON of the estimate, or
    Column("error", Text),  # JSON of the error
    Column("contributed", Text, nullable=False),  # JSON: the sites and asks that it rests on
)

events = Table(
    "event",
    metadata,
    Column("study", ForeignKey("study.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document", Text, nullable=False),
)

presence = Table(
    "presence",  # shared by the programs of one hub; see hub.presence
    metadata,
    Column("site", String(80), primary_key=True),
    Column("seen", Float, nullable=False),
)
