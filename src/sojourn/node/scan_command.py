"""`sojourn airlock scan`: examine a file by hand. The other words of the airlock are in a module of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.node import program
from sojourn.node.config import NodeHome
from sojourn.report.printing import answer, rows


def scan(
    file: Annotated[Path, typer.Argument(help="The file that somebody wants to take out.")],
    home: Annotated[Path, typer.Option("--home", help="The node's folder.")] = Path("node"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look for this site's identifiers, rare values and hidden text in a file; exit code 1 where anything is found.

    Nothing found is no permission: a file that no statistic made is always high risk, for two people to check.

    Example: sojourn airlock scan results.csv --home node
    """
    from sojourn.node import scanning  # loads the readers of files, which a running node never needs

    judgement = scanning.scan_file(NodeHome.load(home), file)
    program.ask(home, "scanned", facts=scanning.facts(judgement))
    words = [
        f"{judgement.kind}, {judgement.size} bytes, sha256 {judgement.sha256}",
        f"High risk. {judgement.why or 'Two people must check these very bytes.'}",
        f"{judgement.numbers} numbers: at most {judgement.bits:.0f} bits beside what they say, at six digits.",
    ]
    if judgement.clean:
        words.append("Nothing was found. That is no proof, and no permission.")
    answer(scanning.document(judgement), as_json, words)
    tables: list[tuple[str, tuple[str, ...], list[dict[str, object]]]] = [
        ("The site's own", ("kind", "column", "reading"), [vars(match) for match in judgement.matches]),
        ("Looks like", ("kind", "place", "times", "first"), [vars(seen) for seen in judgement.seen]),
        ("Not shown by a viewer", ("what",), [{"what": word} for word in judgement.hides]),
    ]
    for title, columns, found in [] if as_json else tables:
        if found:
            rows(title, columns, found)
    if not judgement.clean:
        raise typer.Exit(1)
