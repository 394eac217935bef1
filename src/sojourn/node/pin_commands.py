"""`sojourn node pin` and `pins`: whom this site adds with under masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.node import program
from sojourn.report.printing import answer

Home = Annotated[Path, typer.Option("--home", help="The node's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
HERE = Path("node")


def pin(
    site: Annotated[str, typer.Argument(help="The other site's name in the federation.")],
    key: Annotated[str, typer.Argument(help="Its node's key, 64 hex digits, as its own `sojourn node pins` shows it.")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Trust that a key is that of a site, after its custodian told you by another way than the hub.

    Example: sojourn node pin Budapest 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29
    """
    done = program.ask(home, "pin", site=site, key=key)
    answer(done, as_json, [f"{done['site']} is pinned with key {done['key']}."])


def pins(home: Home = HERE, as_json: AsJson = False) -> None:
    """This site's own key, to be told to other custodians, and the pinned keys of the other sites.

    Example: sojourn node pins
    """
    found = program.ask(home, "pins")
    answer(found, as_json, [f"{pin['site']} {pin['whole_key']} ({pin['pinned']})" for pin in found])
