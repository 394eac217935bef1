"""The `sojourn` command: joins the programs' commands; says every error with its remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from sojourn import __version__
from sojourn.errors import AuditError, ConfigurationError, SojournError

Maker = Callable[[typer.Typer], object]


class _Loaded(MutableMapping[str, Any]):
    """Commands by their first word, each loaded when it is asked for: a hub has no need of a node's programs."""

    def __init__(self, makers: Mapping[str, Maker], ready: Mapping[str, Any]) -> None:
        self._makers = dict(makers)
        self._ready = dict(ready)
        self._words = [*makers, *ready]

    def __getitem__(self, word: str) -> Any:
        if word not in self._ready:
            holder = typer.Typer(add_completion=False)
            self._makers[word](holder)
            self._ready |= {name: it for name, it in get_group(holder).commands.items() if name not in self._ready}
        return self._ready[word]

    def __setitem__(self, word: str, command: Any) -> None:
        self._words += [] if word in self._words else [word]
        self._ready[word] = command

    def __delitem__(self, word: str) -> None:
        self._words.remove(word)
        self._ready.pop(word, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


class _Programs(TyperGroup):
    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.commands = _Loaded(MAKERS, self.commands)


def _demo(into: typer.Typer) -> None:
    from sojourn.demo.command import command

    into.command("demo")(command)


def _client(into: typer.Typer) -> None:
    from sojourn.client import commands

    into.command("login")(commands.login)
    into.command("logout")(commands.logout)
    into.command("whoami")(commands.whoami)
    into.add_typer(commands.app, name="study")


def _hub(into: typer.Typer) -> None:
    from sojourn.hub import commands

    into.add_typer(commands.app, name="hub")
    into.add_typer(commands.projects, name="project")


@cache
def _of_node() -> dict[str, typer.Typer]:
    """A node's programs, joined once: they outlive the commands that are made of them."""
    from sojourn.node import airlock_commands as airlock
    from sojourn.node import commands, pin_commands
    from sojourn.node.scan_command import scan

    commands.app.command("pin")(pin_commands.pin)
    commands.app.command("pins")(pin_commands.pins)
    commands.app.add_typer(airlock.checkers, name="checker")
    airlock.app.command("scan")(scan)
    return {"node": commands.app, "airlock": airlock.app, "dataset": commands.datasets}


def _node(into: typer.Typer) -> None:
    for word, program in _of_node().items():
        into.add_typer(program, name=word)


def _harmonise(into: typer.Typer) -> None:
    from sojourn.node.harmonise import commands

    into.add_typer(commands.app, name="harmonise")


MAKERS: dict[str, Maker] = {
    "demo": _demo,
    **dict.fromkeys(("login", "logout", "whoami"), _client),
    **dict.fromkeys(("hub", "project"), _hub),
    **dict.fromkeys(("node", "airlock", "dataset"), _node),
    "harmonise": _harmonise,
    "study": _client,
}
"""Who has the commands of a first word, in the order of `--help`."""

app = typer.Typer(
    name="sojourn",
    cls=_Programs,
    help="Ask questions of health data that cannot leave: the analysis travels, the data stays.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
audit = typer.Typer(help="The tamper-evident logs.", no_args_is_help=True)
app.add_typer(audit, name="audit")


@audit.command("verify")
def verify(
    home: Annotated[Path, typer.Option("--home", help="The folder of a hub or a node.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Verify a whole log from its raw entries: hashes, order, signed checkpoints.

    Example: sojourn audit verify --home node
    """
    from sojourn.hub.program import ask as ask_hub
    from sojourn.node.config import SETTINGS
    from sojourn.node.program import ask as ask_node
    from sojourn.report.printing import answer

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
