"""`sojourn hub …` and `sojourn project …`: thin words over the hub's functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from sojourn.hub import backup, program
from sojourn.hub import doctor as examination
from sojourn.hub.config import HubHome
from sojourn.identity.keys import PublicKey
from sojourn.operations.logs import open_log, take_over
from sojourn.operations.readiness import said_of
from sojourn.report.printing import answer, rows, witnesses
from sojourn.storage import finding, safekeeping, sealing
from sojourn.wire.serving import until_told_to_stop

app = typer.Typer(help="Run the middle of a federation. It sees no records.", no_args_is_help=True)
projects = typer.Typer(help="Projects and who may submit to them.", no_args_is_help=True)

Home = Annotated[Path, typer.Option("--home", help="The hub's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
LogFormat = Annotated[Literal["json", "text"], typer.Option(help="How the log on standard error is written.")]
Recipients = Annotated[
    list[str] | None, typer.Option("--recipient", help="An age public key (age1…) that may open it; may be repeated.")
]
Passphrase = Annotated[Path | None, typer.Option("--passphrase-file", help="A file (0600) that holds the passphrase.")]
Identity = Annotated[Path | None, typer.Option("--identity", help="The file of the age key that it is sealed to.")]
Plain = Annotated[bool, typer.Option("--plain", help="Do not seal it: whoever has the file has the keys in it.")]
HERE = Path("hub")
DatabaseUrl = Annotated[
    str, typer.Option("--database", help="A PostgreSQL database's URL, without a password. Default: a file in --home.")
]
PasswordFile = Annotated[
    Path | None, typer.Option("--database-password-file", help="The file that holds its password; default: ~/.pgpass.")
]


@app.command()
def init(
    name: Annotated[str, typer.Option(help="The federation's name, e.g. heart.example.org.")],
    home: Home = HERE,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 8443,
    dns: Annotated[list[str] | None, typer.Option(help="Further names of this machine, for its certificate.")] = None,
    database: DatabaseUrl = "",
    database_password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a hub: keys, certificate authority, store.

    Example: sojourn hub init --name heart.example.org --host 0.0.0.0 --dns hub.heart.example.org
    """
    made = program.create(home, name, host, port, dns or [], database, database_password_file)
    answer(
        {"home": str(made.folder), "name": name},
        as_json,
        [f"A hub for {name} is ready in {home}.", f"Next: sojourn hub start --home {home}"],
    )


@app.command()
def migrate(
    database: Annotated[str, typer.Option(help="The database's URL with the role that owns its tables.")],
    database_password_file: PasswordFile = None,
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Bring a PostgreSQL database up to date as the owner of its tables, where the hub's own role may not.

    Example: sojourn hub migrate --database postgresql://owner@db.example.org/hub
    """
    revision = program.migrate(home, database, database_password_file)
    answer({"revision": revision}, as_json, [f"The database is at revision {revision}."])


@app.command()
def start(home: Home = HERE, log_format: LogFormat = "json", as_json: AsJson = False) -> None:
    """Serve nodes and researchers until Ctrl-C or SIGTERM. A second one ends it at once.

    Example: sojourn hub start --home hub
    """
    found = HubHome.load(home)
    log = open_log("hub", log_format, found.log_level)
    take_over(log)
    running = program.HubProgram(found, log)
    running.start()
    answer({"url": running.url}, as_json, [f"The hub answers at {running.url}. Ctrl-C ends it."])
    until_told_to_stop()
    running.stop()


@app.command()
def ready(home: Home = HERE, as_json: AsJson = False) -> None:
    """Whether the hub can work now: exit code 0, or 1 with what is in its way. For systemd, containers and monitors.

    Example: sojourn hub ready --home hub
    """
    reasons = program.not_ready(home)
    answer({"ready": not reasons, "reasons": reasons}, as_json, [said_of("The hub", reasons)])
    if reasons:
        raise typer.Exit(1)


@app.command()
def metrics(home: Home = HERE, as_json: AsJson = False) -> None:
    """Print the running hub's metrics in Prometheus' text form.

    Example: sojourn hub metrics --home hub
    """
    text = program.ask(home, "metrics")
    answer({"metrics": text}, as_json, [text.rstrip()])


@app.command()
def show(
    home: Home = HERE,
    diagram: Annotated[bool, typer.Option("--diagram", help="Draw the live federation (Mermaid).")] = False,
    as_json: AsJson = False,
) -> None:
    """The federation at a glance, and the address line that researchers log in with.

    Example: sojourn hub show --diagram
    """
    found = program.ask(home, "show")
    if diagram and not as_json:
        print(found["diagram"])
        return
    answer(found, as_json)
    if not as_json:
        sites = [{**site, "tables": [data["table"] for data in site["datasets"]]} for site in found["sites"]]
        rows(f"Sites at {found['url']}", ("site", "online", "suspended", "tables", "software", "key"), sites)
        for words in filter(None, (site["advice"] for site in sites)):
            print(words)
        if found["clocks"]:
            ahead = ", ".join(f"{site} {words}" for site, words in found["clocks"].items())
            print(f"Refused because their clocks and this one's differ: {ahead}. Set all by a time server.")
        witnesses(found["log"])
        print(f"Address for `sojourn login`:\n{found['address']}")


@app.command("accept-log")
def accept_log(
    site: Annotated[str, typer.Argument(help="The site whose log is under suspicion.")],
    reason: Annotated[str, typer.Option(help="Why it may be trusted again; it is logged.")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Trust a site's log again after its custodian explained why it was cut or changed. The evidence is kept.

    Example: sojourn hub accept-log Cleveland --reason "restored from the backup of Monday, recovered"
    """
    done = program.ask(home, "accept_log", site=site, reason=reason)
    words = f"The log of {site} is trusted again at {done['now']} entries; {done['remembered']} were remembered."
    answer(done, as_json, [words])


@app.command()
def invite(
    site: Annotated[str, typer.Argument(help="The name that the new site will have.")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """A line with which one new site may join, once, within seven days.

    Example: sojourn hub invite Cleveland
    """
    line = program.ask(home, "invite", site=site)
    answer({"site": site, "invitation": line}, as_json, [line])


@app.command()
def remove(
    site: Annotated[str, typer.Argument(help="The site's name.")], home: Home = HERE, as_json: AsJson = False
) -> None:
    """Take a site's key no more, from this moment. What it was asked is given up; studies go on without it.

    Example: sojourn hub remove Cleveland
    """
    key = program.ask(home, "remove", site=site)
    lines = [f"{site} with key {key} is removed.", f"To admit a new node by this name: sojourn hub invite {site}"]
    answer({"site": site, "key": key}, as_json, lines)


@app.command()
def renew(
    home: Home = HERE,
    dns: Annotated[list[str] | None, typer.Option(help="A further name or address that it is to be for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Renew the hub's certificate for a year. Nodes and researchers need nothing new.

    Example: sojourn hub renew --dns hub.heart.example.org
    """
    names = program.renew(HubHome.load(home), dns or [])
    lines = [f"The certificate is for {', '.join(names)}. Restart the hub to use it."]
    answer({"names": names}, as_json, lines)


@app.command()
def doctor(home: Home = HERE, as_json: AsJson = False) -> None:
    """Examine a hub, running or stopped; exit code 1 where a check fails.

    Example: sojourn hub doctor --home hub
    """
    tell(examination.examine(home), as_json)


@app.command("backup")
def back_up(
    file: Annotated[Path, typer.Argument(help="The archive to write; it must not be there yet.")],
    home: Home = HERE,
    recipient: Recipients = None,
    passphrase_file: Passphrase = None,
    plain: Plain = False,
    as_json: AsJson = False,
) -> None:
    """Back up a hub, running or stopped, into one sealed file: database, settings, keys, certificates.

    Example: sojourn hub backup hub-monday.age --recipient age1…
    """
    seal = sealing.seal_of(recipient or [], passphrase_file, plain)
    kept = backup.back_up(home, file, seal).document()
    answer(kept, as_json, safekeeping.kept_words(kept))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The archive that `sojourn hub backup` wrote.")],
    home: Annotated[Path, typer.Option("--home", help="The new home; it must not be there yet.")],
    identity: Identity = None,
    passphrase_file: Passphrase = None,
    database: Annotated[
        str, typer.Option(help="The URL of a new, empty PostgreSQL database, to be used from now on.")
    ] = "",
    database_password_file: Annotated[Path | None, typer.Option(help="A file (0600) with its password.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new hub's home out of a backup, once all of it was verified. Nothing is overwritten.

    Example: sojourn hub restore hub-monday.age --identity backup.key --home hub
    """
    key = sealing.key_of(identity, passphrase_file)
    manifest = backup.restore(file, key, home, database, database_password_file)
    words = [
        *safekeeping.restored_words(manifest, home),
        "Nodes and researchers who know a later state of this hub's log will notice that it is older. That is meant:",
        "they cannot tell a restore from a rollback. Tell them why; custodians then run `sojourn node accept-log`.",
        f"Next: end the old hub for good, then sojourn hub doctor --home {home} and sojourn hub start --home {home}",
    ]
    answer({"home": str(home), **safekeeping.restored_document(manifest)}, as_json, words)


@projects.command("add")
def add_project(
    name: Annotated[str, typer.Argument(help="The project's name.")], home: Home = HERE, as_json: AsJson = False
) -> None:
    """Open a project.

    Example: sojourn project add heart
    """
    program.ask(home, "add_project", name=name)
    answer({"project": name}, as_json, [f"Project {name} is open. Next: sojourn project member {name} --key FILE.pub"])


@projects.command("member")
def add_member(
    project: Annotated[str, typer.Argument(help="The project's name.")],
    key: Annotated[Path, typer.Option(help="The researcher's public key file (.pub).")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Let a researcher submit to a project. Each custodian still decides alone (`sojourn node approve`).

    Example: sojourn project member heart --key ada.key.pub
    """
    public = PublicKey.load(key)
    program.ask(home, "add_member", project=project, key=public.hex)
    answer({"project": project, "key": public.id}, as_json, [f"Key {public.id} may submit to {project}."])


def tell(findings: Sequence[finding.Finding], as_json: bool) -> None:
    """Print what a doctor found; exit code 1 where a check failed."""
    answer(finding.document(findings), as_json, finding.words(findings))
    if not finding.sound(findings):
        raise typer.Exit(1)
