"""`sojourn harmonise …`: from a site's export to comparable data, inside the site."""

from __future__ import annotations

import typer

from sojourn.node.harmonise.commands_profile import vocabularies

app = typer.Typer(
    help="Make a site's data comparable, where it lives. Nothing of it talks to a network.", no_args_is_help=True
)
app.add_typer(vocabularies, name="vocabulary")
