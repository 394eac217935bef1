"""`sojourn node …` and `sojourn dataset …`: the custodian's words, thin over the node's functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from sojourn.errors import DatasetError
from sojourn.identity.keys import PublicKey
from sojourn.node import backup, program
from sojourn.node import doctor as examination
from sojourn.node.airlock_commands import tell_alarms
from sojourn.node.config import NodeHome
from sojourn.node.draft import draft_dictionary
from sojourn.operations.logs import open_log, take_over
from sojourn.operations.readiness import said_of
from sojourn.report.printing import answer, rows, witnesses
from sojourn.storage import finding, safekeeping, sealing
from sojourn.wire.serving import until_told_to_stop

app = typer.Typer(help="Run a custodian's node, beside its data. It only calls out.", no_args_is_help=True)
datasets = typer.Typer(help="The datasets of a node and their approved dictionaries.", no_args_is_help=True)

Home = Annotated[Path, typer.Option("--home", help="The node's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
KeyFile = Annotated[Path, typer.Option("--key", help="The researcher's public key file (.pub).")]
ProjectName = Annotated[str, typer.Argument(help="The project's name.")]
LogFormat = Annotated[Literal["json", "text"], typer.Option(help="How the log on standard error is written.")]
Recipients = Annotated[
    list[str] | None, typer.Option("--recipient", help="An age public key (age1…) that may open it; may be repeated.")
]
Passphrase = Annotated[Path | None, typer.Option("--passphrase-file", help="A file (0600) that holds the passphrase.")]
Identity = Annotated[Path | None, typer.Option("--identity", help="The file of the age key that it is sealed to.")]
Plain = Annotated[bool, typer.Option("--plain", help="Do not seal it: whoever has the file has the keys in it.")]
HERE = Path("node")
DatabaseUrl = Annotated[
    str, typer.Option("--database", help="A PostgreSQL database's URL, without a password. Default: a file in --home.")
]
PasswordFile = Annotated[
    Path | None, typer.Option("--database-password-file", help="The file that holds its password; default: ~/.pgpass.")
]


@app.command()
def init(
    site: Annotated[str, typer.Option(help="This site's name in the federation.")],
    home: Home = HERE,
    sandbox: Annotated[str, typer.Option(help="`bubblewrap`, or `none` on your own responsibility.")] = "bubblewrap",
    least_sites: Annotated[int, typer.Option(help="The smallest number of sites that this one computes with.")] = 3,
    database: DatabaseUrl = "",
    database_password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a node: its keys and its empty store.

    Example: sojourn node init --site Cleveland
    """
    program.create(home, site, sandbox, least_sites, database, database_password_file)
    lines = [
        f"A node for {site} is ready in {home}.",
        f"Next: sojourn node join LINE --home {home}   (the line is from `sojourn hub invite`)",
    ]
    answer({"home": str(home), "site": site}, as_json, lines)


@app.command()
def join(
    line: Annotated[str, typer.Argument(help="The line that `sojourn hub invite` printed.")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Join a federation: pin its certificate authority and its log, show the one-time token.

    Example: sojourn node join sojourn1.eyJ…
    """
    joined = program.join(NodeHome.load(home), line)
    lines = [
        f"{joined.site} has joined {joined.federation} at {joined.hub}.",
        f"Next: sojourn node start --home {home}",
    ]
    answer({"site": joined.site, "hub": joined.hub}, as_json, lines)


@app.command()
def migrate(
    database: Annotated[str, typer.Option(help="The database's URL with the role that owns its tables.")],
    database_password_file: PasswordFile = None,
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Bring a PostgreSQL database up to date as the owner of its tables, where the node's own role may not.

    Example: sojourn node migrate --database postgresql://owner@db.example.org/node
    """
    revision = program.migrate(home, database, database_password_file)
    answer({"revision": revision}, as_json, [f"The database is at revision {revision}."])


@app.command()
def start(home: Home = HERE, log_format: LogFormat = "json", as_json: AsJson = False) -> None:
    """Ask the hub for work until Ctrl-C or SIGTERM. Nothing listens but a local socket in the node's folder.

    Example: sojourn node start --home node
    """
    log = open_log("node", log_format, NodeHome.load(home).log_level)
    take_over(log)
    running = program.NodeProgram(home, log)
    running.start()
    site = running.home.site
    answer(
        {"site": site, "hub": running.home.hub}, as_json, [f"{site} asks {running.home.hub} for work. Ctrl-C ends it."]
    )
    until_told_to_stop()
    running.stop()


@app.command()
def approve(
    project: ProjectName,
    key: KeyFile,
    dataset: Annotated[list[str] | None, typer.Option(help="A dataset that it covers; default: all present.")] = None,
    name: Annotated[str, typer.Option(help="The researcher's name, who then checks no output of their own.")] = "",
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Pin a researcher's key for a project. There is no other way for a key to be trusted here.

    Example: sojourn node approve heart --key ada.key.pub --dataset patients
    """
    done = program.ask(home, "approve", project=project, key=PublicKey.load(key).hex, tables=dataset, name=name)
    lines = [f"Key {done['key']} is approved for {project} on: {', '.join(done['tables'])}."]
    answer(done, as_json, lines)


@app.command()
def revoke(project: ProjectName, key: KeyFile, home: Home = HERE, as_json: AsJson = False) -> None:
    """Withdraw an approval: from now on nothing of its studies is released.

    Example: sojourn node revoke heart --key ada.key.pub
    """
    done = program.ask(home, "revoke", project=project, key=PublicKey.load(key).hex)
    answer(done, as_json, [f"Key {done['key']} is no longer approved for {project}."])


@app.command("accept-log")
def accept_log(
    reason: Annotated[str, typer.Option(help="Why it may be trusted again; it is logged.")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Trust the hub's log again after its administrator explained why it was cut or changed. The evidence is kept.

    Example: sojourn node accept-log --reason "the hub was restored from the backup of Monday"
    """
    done = program.ask(home, "accept_log", reason=reason)
    words = f"The hub's log is trusted again at {done['now']} entries; {done['remembered']} were remembered."
    answer(done, as_json, [words])


@app.command()
def recover(home: Home = HERE, as_json: AsJson = False) -> None:
    """After a restore from a backup: recall what left this site since then, so that nothing can be asked twice.

    The node must be running. Example: sojourn node recover
    """
    done = program.ask(home, "recover")
    words = (
        f"Recalled {done['studies']} studies: {done['answers']} answers, {done['refusals']} refusals; "
        f"{done['sets']} sets of persons charged."
    )
    next_step = "Next: ask the hub's administrator for `sojourn hub accept-log SITE --reason TEXT`."
    answer(done, as_json, [words, next_step])


@app.command()
def show(home: Home = HERE, as_json: AsJson = False) -> None:
    """Settings, datasets, approvals and runs of this node.

    Example: sojourn node show
    """
    found = program.ask(home, "show")
    answer(found, as_json)
    if not as_json:
        state = "connected" if found["connected"] else "not connected"
        facts = (f"hub {found['hub'] or 'none'}", state, f"sandbox {found['sandbox']}", f"Sojourn {found['software']}")
        print(" · ".join((found["site"], *facts)))
        if found["trouble"]:
            print(f"Trouble: {found['trouble']}")
        if found["advice"]:
            print(found["advice"])
        if found["reviews"]:
            print(f"{found['reviews']} held outputs wait for a checker: see `sojourn airlock list`.")
        witnesses(found["log"])
        tell_alarms(found["alarms"])
        rows("Datasets", ("table", "snapshot", "rows", "persons"), found["datasets"])
        rows("Formal privacy", ("table", "epsilon", "delta", "release", "answers", "spent"), found["privacy"])
        rows("Approvals", ("project", "key", "name", "tables", "approved", "revoked"), found["approvals"])
        rows("Checkers", ("name", "key", "added", "removed"), found["checkers"])
        rows("Runs", ("study", "project", "plan", "key", "rehearsal", "ended"), found["runs"])


@app.command()
def ready(home: Home = HERE, as_json: AsJson = False) -> None:
    """Whether the node can work now: exit code 0, or 1 with what is in its way. For systemd, containers and monitors.

    Example: sojourn node ready --home node
    """
    reasons = program.not_ready(home)
    answer({"ready": not reasons, "reasons": reasons}, as_json, [said_of("The node", reasons)])
    if reasons:
        raise typer.Exit(1)


@app.command()
def metrics(home: Home = HERE, as_json: AsJson = False) -> None:
    """Print the running node's metrics in Prometheus' text form, for its custodian alone.

    Example: sojourn node metrics --home node
    """
    text = program.metrics(home)
    answer({"metrics": text}, as_json, [text.rstrip()])


@app.command()
def released(
    study: Annotated[str | None, typer.Argument(help="Only this study.")] = None,
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """What left this site, or why not, with the notes that only you see.

    Example: sojourn node released
    """
    found = program.ask(home, "released", study=study)
    answer(found, as_json)
    if not as_json:
        columns = ("study", "rehearsal", "analysis", "round", "bytes", "tier", "reason", "note")
        rows("What left, and what did not", columns, found)


@app.command()
def doctor(home: Home = HERE, as_json: AsJson = False) -> None:
    """Examine a node, running or stopped, and its way to the hub; exit code 1 where a check fails.

    Example: sojourn node doctor --home node
    """
    tell(examination.examine(home), as_json)


@app.command("backup")
def back_up(
    file: Annotated[Path, typer.Argument(help="The archive to write; it must not be there yet.")],
    home: Home = HERE,
    recipient: Recipients = None,
    passphrase_file: Passphrase = None,
    plain: Plain = False,
    without_data: Annotated[
        bool, typer.Option("--without-data", help="Leave the datasets' rows out; dictionaries go along.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Back up a node, running or stopped, into one sealed file: database, settings, keys, datasets.

    Example: sojourn node backup node-monday.age --recipient age1…
    """
    seal = sealing.seal_of(recipient or [], passphrase_file, plain)
    kept = backup.back_up(home, file, seal, data=not without_data).document()
    answer(kept, as_json, safekeeping.kept_words(kept))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The archive that `sojourn node backup` wrote.")],
    home: Annotated[Path, typer.Option("--home", help="The new home; it must not be there yet.")],
    identity: Identity = None,
    passphrase_file: Passphrase = None,
    database: Annotated[
        str, typer.Option(help="The URL of a new, empty PostgreSQL database, to be used from now on.")
    ] = "",
    database_password_file: Annotated[Path | None, typer.Option(help="A file (0600) with its password.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new node's home out of a backup, once all of it was verified. Nothing is overwritten.

    Example: sojourn node restore node-monday.age --identity backup.key --home node
    """
    key = sealing.key_of(identity, passphrase_file)
    manifest = backup.restore(file, key, home, database, database_password_file)
    words = [
        *safekeeping.restored_words(manifest, home),
        *(
            []
            if manifest.data
            else ["The datasets' rows were not in it: run `sojourn dataset add` for each, with the same files."]
        ),
        "The hub, which knows a later state of this node's log, will notice that it is older. That is meant: it cannot",
        "tell a restore from a rollback. Run `sojourn node recover`; the hub's administrator `sojourn hub accept-log`.",
        f"Next: end the old node for good, then sojourn node doctor --home {home} and sojourn node start --home {home}",
    ]
    answer({"home": str(home), **safekeeping.restored_document(manifest)}, as_json, words)


@datasets.command("add")
def add_dataset(
    source: Annotated[Path, typer.Argument(help="A CSV or Parquet file; with --harmonised, the name in plans.")],
    dictionary: Annotated[Path | None, typer.Option(help="The dictionary that you reviewed and approve.")] = None,
    table: Annotated[
        str, typer.Option(help="The name in plans, for a draft; with --harmonised, `persons` or a table of the model.")
    ] = "",
    person: Annotated[str | None, typer.Option(help="The column that names a person.")] = None,
    row_is_person: Annotated[bool, typer.Option("--row-is-person", help="Each row is one person.")] = False,
    harmonised: Annotated[str, typer.Option(help="A harmonised source, of whose current snapshot it is made.")] = "",
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Draft a table's dictionary, or import the table under the dictionary that you approved.

    Example: sojourn dataset add patients.csv --row-is-person   (then review, then add --dictionary FILE)
    """
    if harmonised:
        from sojourn.node.harmonise.commands_dataset import add_harmonised

        if row_is_person or person is not None:
            raise DatasetError("The model says who a person is.", remedy="Leave --person and --row-is-person out.")
        add_harmonised(str(source), harmonised, table or "persons", dictionary, home, as_json)
        return
    if dictionary is not None:
        done = program.ask(home, "add_dataset", source=str(source.resolve()), dictionary=str(dictionary.resolve()))
        counts = f"{done['rows']} rows, {done['persons']} persons"
        answer(done, as_json, [f"Table {done['table']} is there: {counts}, snapshot {done['snapshot']}."])
        return
    if row_is_person == (person is not None):
        raise DatasetError(
            "Say who a person is.", remedy="Give --person COLUMN, or --row-is-person where each row is one person."
        )
    draft = draft_dictionary(source, person, row_is_person, table=table or "patients")
    path = source.with_suffix(".dictionary.yaml")
    if path.exists():
        raise DatasetError("There is a draft already.", remedy=f"Review {path.name}, or remove it.")
    draft.save(path)
    lines = [
        f"Drafted {path}. Nothing was imported.",
        "Review every line: only what it approves can ever be analysed.",
        f"Then: sojourn dataset add {source} --dictionary {path} --home {home}",
    ]
    answer({"draft": str(path)}, as_json, lines)


@datasets.command("stand-in")
def add_stand_in(
    source: Annotated[Path, typer.Argument(help="A CSV or Parquet file of synthetic persons, of the same columns.")],
    table: Annotated[str, typer.Option(help="The table that it stands in for.")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Supply the synthetic stand-in that a table's rehearsals run on, under the table's approved dictionary.

    The file must hold no real person: rehearsals tell of it what a study would tell of the table.
    Example: sojourn dataset stand-in synthetic.csv --table patients
    """
    done = program.ask(home, "add_stand_in", source=str(source.resolve()), table=table)
    words = f"Rehearsals of {done['table']} run on {done['persons']} synthetic persons, snapshot {done['snapshot']}."
    answer(done, as_json, [words])


@datasets.command("list")
def list_datasets(home: Home = HERE, as_json: AsJson = False) -> None:
    """The datasets of this node.

    Example: sojourn dataset list
    """
    found = program.ask(home, "datasets")
    answer(found, as_json)
    if not as_json:
        rows("Datasets", ("table", "snapshot", "rows", "persons", "columns"), found)


@datasets.command("show")
def show_dataset(
    table: Annotated[str, typer.Argument(help="The table's name.")], home: Home = HERE, as_json: AsJson = False
) -> None:
    """One dataset: its approved columns and its snapshot.

    Example: sojourn dataset show patients
    """
    found = [item for item in program.ask(home, "datasets") if item["table"] == table]
    if not found:
        raise DatasetError("There is no such table.", remedy="See `sojourn dataset list`.")
    answer(found[0], as_json, [f"{name}: {kind}" for name, kind in found[0]["columns"].items()])


def tell(findings: Sequence[finding.Finding], as_json: bool) -> None:
    """Print what a doctor found; exit code 1 where a check failed."""
    answer(finding.document(findings), as_json, finding.words(findings))
    if not finding.sound(findings):
        raise typer.Exit(1)
