"""The node's tables. They stay inside the institution; `ledger` and `release` say what ever left."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text, false

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
    Column("name", String(200), nullable=False, server_default=""),  # of the person, who checks nothing of their own
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
    Column("exchange", Text, nullable=False, server_default=""),  # JSON of a masked run: site → its exchange key
    Column("withheld", String(40), nullable=False, server_default=""),  # why a masked run has nothing of this site
)

pins = Table(
    "pin",
    metadata,
    Column("site", String(80), primary_key=True),  # another site, with which this one adds under masks
    Column("key", String(64), nullable=False),  # its node's Ed25519 key
    Column("pinned", Float, nullable=False),
)

masked_sets = Table(  # as `ledger`, for what left in sums over a whole roster
    "masked_set",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("dataset", String(80), nullable=False, index=True),
    Column("study", String(32), nullable=False),
    Column("analysis", String(40), nullable=False),
    Column("roster", String(64), nullable=False),  # hash of all sites with their keys
    Column("snapshot", String(64), nullable=False),
    Column("measure", Text, nullable=False),  # JSON: the columns measured
    Column("label", Text, nullable=False),
    Column("digest", String(64), nullable=False),  # of the set
    Column("vetoed", Boolean, nullable=False, server_default=false()),  # here, at its first numbers: it never was
)

overlap_lists = Table(  # whose persons were put into a list for another site; one a snapshot and site, for ever
    "overlap_list",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("dataset", String(80), nullable=False, index=True),
    Column("partner", String(80), nullable=False),  # the other site's name
    Column("own", String(64), nullable=False),  # what names this list
    Column("theirs", String(64), nullable=False),  # what names the other one's
    Column("study", String(32), nullable=False),  # the first that asked
    Column("digest", String(64), nullable=False),  # of the set of persons
    Column("received", String(64), nullable=False),  # sha256 of the other's list; empty until it came
    Column("made", Float, nullable=False),
)

refused = Table(
    "refused_request",
    metadata,
    Column("study", String(32), primary_key=True),
    Column("request", String(64), nullable=False),  # sha256 of the envelope
    Column("reason", String(40), nullable=False),
    Column("researcher", String(64), nullable=False, server_default=""),  # where a key known here signed it for us
    Column("target", String(64), nullable=False, server_default=""),  # sha256 of its project and table
    Column("made", Float, nullable=False, server_default="0"),
)

alarms = Table(
    "alarm",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("researcher", String(64), nullable=False, index=True),
    Column("found", Text, nullable=False),  # JSON: kind → number seen and bound
    Column("raised", Float, nullable=False),
    Column("cleared", Float),
    Column("reason", Text, nullable=False),  # the custodian's, why it was cleared
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
    Column("numbers", Integer, nullable=False, server_default="0"),  # distinct numbers that left
    Column("question", String(64), nullable=False, server_default="", index=True),  # equal for identical asks
    Column("first_study", String(32), nullable=False, server_default=""),  # whose bytes it repeats; empty: its own
    Column("first_analysis", String(40), nullable=False, server_default=""),
    Column("withheld", String(40), nullable=False, server_default=""),  # why a masked analysis has nothing of this site
    Column("forgotten", Boolean, nullable=False, server_default=false()),  # by a hub restored from before its receipt
    Column("newest", Integer),  # of a joint test: other studies' masked sum at its terms; the ledger's at its share
)

shown_tables = Table(  # what linked audits look at: also the counts of hidden cells
    "shown_table",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("dataset", String(80), nullable=False),
    Column("snapshot", String(64), nullable=False),
    Column("population", String(64), nullable=False),  # digest of the set of persons
    Column("study", String(32), nullable=False),
    Column("analysis", String(40), nullable=False),
    Column("document", Text, nullable=False),  # JSON: dimensions, counts, which cells are hidden
)
Index("shown_table_of_persons", shown_tables.c.dataset, shown_tables.c.snapshot, shown_tables.c.population)

losses = Table(
    "privacy_loss",
    metadata,
    Column("project", String(200), primary_key=True),
    Column("answer", String(80), primary_key=True),  # what is answered; equal questions are equal here
    Column("dataset", String(80), nullable=False, index=True),
    Column("cost", Float, nullable=False),
    Column("unit", String(10), nullable=False),
    Column("share", Float, nullable=False),  # of the nearer limit, spent with this charge
    Column("charged", Float, nullable=False),
)

noisy = Table(
    "noisy_answer",
    metadata,
    Column("answer", String(80), primary_key=True),
    Column("numbers", Text, nullable=False),  # JSON: the noisy vectors, drawn once
    Column("drawn", Float, nullable=False),
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

checkers = Table(
    "checker",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("key", String(64), nullable=False),
    Column("added", Float, nullable=False),
    Column("removed", Float),
)

reviews = Table(
    "review",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("study", String(32), nullable=False),
    Column("analysis", String(40), nullable=False),
    Column("ask", String(64), nullable=False),
    Column("round", Integer, nullable=False),
    Column("sites", Text, nullable=False),  # JSON, as in `release`
    Column("state", String(20), nullable=False),
    Column("tier", String(10), nullable=False),
    Column("family", String(40), nullable=False),
    Column("document", LargeBinary, nullable=False),  # the canonical bytes that would leave
    Column("digest", String(64), nullable=False),  # their sha256
    Column("version", Integer, nullable=False),  # how often they were edited
    Column("finding", Text, nullable=False),  # JSON: verdict, note, cells hidden and to be looked at
    Column("support", Text, nullable=False),  # JSON of the evidence, sets of persons too
    Column("features", Text, nullable=False),  # JSON: what the site's model of risk learns from
    Column("opened", Float, nullable=False),
    Column("decided", Float),
    Column("how", String(40), nullable=False),  # why it was closed, a word of `errors.REASONS`
)
Index("review_of_study", reviews.c.study, reviews.c.analysis)
Index("review_by_state", reviews.c.state)

votes = Table(
    "vote",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("review", String(16), nullable=False, index=True),
    Column("digest", String(64), nullable=False),  # of the bytes that it is about
    Column("checker", String(200), nullable=False),  # name, as enrolled then
    Column("key", String(64), nullable=False),
    Column("envelope", Text, nullable=False),  # JSON: the vote under the checker's signature
    Column("given", Float, nullable=False),
)
