"""The profile of an export as one page, and in a terminal. For the institution that holds the data: it stays there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from sojourn.report.tables import plain


def render(document: Mapping[str, Any]) -> str:
    """The whole page. All text is escaped; it loads nothing and runs nothing."""
    return _environment().get_template("profile.html.j2").render(profile=document)


def shown(document: Mapping[str, Any]) -> RenderableType:
    """The same in a terminal, shorter."""
    parts: list[RenderableType] = []
    for table in document["tables"]:
        title = f"{table['table']} ({table['source']}, {table['kind']}): {table['rows']:,} rows"
        grid = Grid(title=Text(plain(title), style="bold"), title_justify="left")
        for head in ("column", "type", "missing", "distinct", "what it holds"):
            grid.add_column(head, justify="right" if head in ("missing", "distinct") else "left", overflow="fold")
        for column in table["columns"]:
            cells = (column["name"], column["type"], missing(column), distinct(column), "; ".join(holds(column)))
            grid.add_row(*(Text(plain(cell)) for cell in cells))
        parts.append(grid)
        parts += [Text(plain(f"Problem: {line}"), style="red") for line in table["problems"]]
        parts += [Text(plain(f"Ask the owner: {line}"), style="yellow") for line in table["questions"]]
    for failed in document["unreadable"]:
        parts.append(Text(plain(f"{failed['problem']} Remedy: {failed['remedy']}"), style="red"))
    return Group(*parts, Text(document["stays inside"], style="bold"))


def missing(column: Mapping[str, Any]) -> str:
    """The share of rows without a value."""
    return f"{column['missing']['share']:.1%}"


def distinct(column: Mapping[str, Any]) -> str:
    """How many different values; `about` where they were not counted one by one."""
    count = f"{column['distinct']['count']:,}"
    return count if column["distinct"]["exact"] else f"about {count}"


def holds(column: Mapping[str, Any]) -> Iterator[str]:
    """What a column holds, in a few words each."""
    if "identifier" in column:
        yield f"likely an identifier: {column['identifier']}"
    if "key" in column:
        yield f"a key: {column['key']}"
    if "nearly a key" in column:
        yield f"nearly a key: {column['nearly a key']}"
    if dates := column.get("dates"):
        yield dates["form"] or "form open: " + ", ".join(f"{form} ({n:,})" for form, n in dates["read by form"].items())
        if "years" in dates:
            yield f"years {dates['years'][0]} to {dates['years'][1]}"
    for guess in column.get("codes", ()):
        yield f"{guess['system']} {guess['share']:.0%} ({guess['confidence']}: {guess['reason']})"
    if by := column.get("in the vocabulary"):
        yield "known to " + ", ".join(f"{name} ({share:.0%})" for name, share in by.items())
    if "units" in column:
        yield "units " + ", ".join(
            f"{word} = {said['ucum'] or '?'} ({said['rows']:,})" for word, said in column["units"]["seen"].items()
        )
    if "range" in column:
        yield f"within {column['range'][0]:g} to {column['range'][1]:g}"
    if "results" in column:
        yield ", ".join(f"{kind} {share:.0%}" for kind, share in column["results"].items() if share)
    if "values" in column and "codes" not in column and "units" not in column:
        frequent = [f"{value} ({count:,})" for value, count in list(column["values"]["frequent"].items())[:5]]
        others = column["values"]["others"]
        yield ", ".join([*frequent, *([f"{others:,} more"] if others else [])])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sojourn.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "missing": missing, "distinct": distinct, "holds": holds}
    source, _, _ = PackageLoader("sojourn.report", "templates").get_source(environment, "style.css")
    environment.globals["style"] = Markup(source)
    return environment
