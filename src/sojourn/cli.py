"""The `sojourn` command: joins the programs' commands; says every error with its remedy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sojourn import __version__
from sojourn.client import commands as client
from sojourn.demo.command import command as demo
from sojourn.errors import AuditError, ConfigurationError, SojournError
from sojourn.hub import commands as hub
from sojourn.hub.program import ask as ask_hub
from sojourn.node import airlock_commands as airlock
from sojourn.node import commands as node
from sojourn.node.config import SETTINGS
from sojourn.node.harmonise import commands as harmonise
from sojourn.node.pin_commands import pin, pins
from sojourn.node.program import ask as ask_node
from sojourn.node.scan_command import scan
from sojourn.report.printing import answer

app = typer.Typer(
    name="sojourn",
    help="Ask questions of health data that cannot leave: the analysis travels, the data stays.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
audit = typer.Typer(help="The tamper-evident logs.", no_args_is_help=True)

app.command("demo")(demo)
app.add_typer(hub.app, name="hub")
app.add_typer(hub.projects, name="project")
node.app.command("pin")(pin)
node.app.command("pins")(pins)
node.app.add_typer(airlock.checkers, name="checker")
app.add_typer(node.app, name="node")
airlock.app.command("scan")(scan)
app.add_typer(airlock.app, name="airlock")
app.add_typer(node.datasets, name="dataset")
app.add_typer(harmonise.app, name="harmonise")
app.add_typer(client.app, name="study")
app.add_typer(audit, name="audit")
app.command("login")(client.login)
app.command("logout")(client.logout)
app.command("whoami")(client.whoami)


@audit.command("verify")
def verify(
    home: Annotated[Path, typer.Option("--home", help="The folder of a hub or a node.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Verify a whole log from its raw entries: hashes, order, signed checkpoints.

    Example: sojourn audit verify --home node
    """
    if not (home / SETTINGS).exists() and not (home / "hub.yaml").exists():
        raise ConfigurationError("There is neither a hub nor a node here.", remedy="Give --home.")
    ask = ask_node if (home / SETTINGS).exists() else ask_hub
    found = ask(home, "verify")
    if not found["ok"]:
        raise AuditError(
            "The log does not verify: " + " ".join(found["problems"][:5]),
            remedy="Keep the files as they are, tell the custodians, and compare with witnessed checkpoints.",
        )
    checkpoint = ask(home, "checkpoint")
    size = checkpoint.splitlines()[1]
    answer(
        {**found, "checkpoint": checkpoint}, as_json, [f"The log verifies: {size} entries, every hash and signature."]
    )


@app.command("version")
def version() -> None:
    """The version of this software.

    Example: sojourn version
    """
    print(__version__)


def main(arguments: list[str] | None = None) -> None:
    """Run a command: exit 0, 1 (refused or failed; reason and remedy on stderr) or 2 (usage)."""
    try:
        app(arguments)
    except SojournError as error:
        words = str(error.args[0]) if error.args else type(error).__name__
        print(f"{words}\nRemedy: {error.remedy}", file=sys.stderr)
        sys.exit(1)
