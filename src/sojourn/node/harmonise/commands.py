"""`sojourn harmonise …`: from a site's export to comparable data, inside the site."""

from __future__ import annotations

import typer

from sojourn.node.harmonise import commands_run
from sojourn.node.harmonise.commands_profile import show_profile, suggest_plan, vocabularies

app = typer.Typer(
    help="Make a site's data comparable, where it lives. Nothing of it talks to a network.", no_args_is_help=True
)
app.command("profile")(show_profile)
app.command("suggest")(suggest_plan)
app.add_typer(vocabularies, name="vocabulary")
app.command("sql")(commands_run.show_sql)
app.command("pilot")(commands_run.pilot)
app.command("sign")(commands_run.sign)
app.command("run")(commands_run.run)
app.command("undo")(commands_run.undo)
app.command("redo")(commands_run.redo)
app.command("list")(commands_run.list_snapshots)
app.command("hashes")(commands_run.hashes)
app.command("explain")(commands_run.explain)
