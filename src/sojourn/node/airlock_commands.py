"""`sojourn airlock …` and `sojourn node checker …`: people look at what is too risky to leave by itself, and decide."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sojourn.disclosure.review import APPROVE, HIDE, LIVE, REJECT, Vote
from sojourn.errors import ReviewError
from sojourn.governance.history import KINDS
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.node import program
from sojourn.report.printing import answer, rows

app = typer.Typer(help="Held outputs of a node: look at them, and let them leave or not.", no_args_is_help=True)
checkers = typer.Typer(help="The people who may check held outputs here.", no_args_is_help=True)

Home = Annotated[Path, typer.Option("--home", help="The node's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Review = Annotated[str, typer.Argument(help="The review, as `sojourn airlock list` names it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in words; kept with the decision, its hash is logged.")]
KeyFile = Annotated[Path, typer.Option("--as", help="Your own key file, with which you are enrolled here.")]
Name = Annotated[str, typer.Argument(help="The person's name.")]
Conditions = Annotated[
    list[str] | None, typer.Option("--condition", help="What the custodian is to see to; may be repeated.")
]
Seen = Annotated[
    str, typer.Option("--sha256", help="The hash that you looked at, or its beginning; needed where it was edited.")
]
HERE = Path("node")


@app.command("list")
def list_reviews(
    home: Home = HERE,
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What waits for a checker, the oldest first, and for how many seconds.

    Example: sojourn airlock list --home node
    """
    found = program.ask(home, "reviews", everything=everything)
    answer(found, as_json, map(_line, found) if found else ["Nothing waits."])
    if not as_json:
        tell_alarms(program.ask(home, "alarms"))


@app.command()
def show(review: Review, home: Home = HERE, as_json: AsJson = False) -> None:
    """One held output: its numbers with the risky cells marked, the rule, what was released before.

    Example: sojourn airlock show 3f2a91c04d5e6f70
    """
    found = program.ask(home, "review", name=review)
    answer(found, as_json)
    if not as_json:
        _tell(found)


@app.command()
def approve(
    review: Review,
    key: KeyFile,
    reason: Reason,
    condition: Conditions = None,
    for_run: Annotated[
        bool, typer.Option("--for-run", help="Also for later rounds of this analysis that are no riskier.")
    ] = False,
    hide: Annotated[
        list[str] | None, typer.Option(help="A cell to hide first, e.g. `count[0,1]`; may be repeated.")
    ] = None,
    sha256: Seen = "",
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Say yes to exactly the bytes that wait. With --hide they are changed first, and votes so far do not count.

    Example: sojourn airlock approve 3f2a91c04d5e6f70 --as carol.key --reason "every cell has at least 20 persons"
    """
    person, digest = PrivateKey.load(key), _seen(home, review, sha256)
    if hide:
        digest = _vote(home, person, Vote(review, digest, HIDE, reason, (), False, tuple(hide), _now()))["digest"]
    vote = Vote(review, digest, APPROVE, reason, tuple(condition or ()), for_run, (), _now())
    _decided(_vote(home, person, vote), as_json)


@app.command()
def reject(
    review: Review,
    reason: Reason,
    key: Annotated[Path | None, typer.Option("--as", help="Your own key file; without: the custodian's no.")] = None,
    condition: Conditions = None,
    sha256: Seen = "",
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Say no: the researcher is told that the site's checkers did not let it leave, and nothing else.

    Example: sojourn airlock reject 3f2a91c04d5e6f70 --as carol.key --reason "the rare pairs are recognisable"
    """
    if key is None:
        _decided(program.ask(home, "close_review", name=review, reason=reason), as_json)
        return
    digest = _seen(home, review, sha256)
    vote = Vote(review, digest, REJECT, reason, tuple(condition or ()), False, (), _now())
    _decided(_vote(home, PrivateKey.load(key), vote), as_json)


@app.command()
def clear(
    key: Annotated[str, typer.Argument(help="The researcher's key, as `sojourn node show` names it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words; kept at the node, its hash is logged.")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """The custodian has looked at a researcher's unusual asks: what she asks from now on is judged as before.

    Example: sojourn airlock clear 5d41402abc4b2a76 --reason "a planned sensitivity analysis, by telephone"
    """
    done = program.ask(home, "clear", key=key, reason=reason)
    answer(
        done, as_json, [f"The alarm about key {done['key']} is cleared. What waits already, waits for its checkers."]
    )


@checkers.command("add")
def add_checker(
    name: Name,
    key: Annotated[Path, typer.Option("--key", help="The checker's public key file (.pub).")],
    home: Home = HERE,
    as_json: AsJson = False,
) -> None:
    """Enrol a person who may check outputs here; medium risk needs one, high risk two. Authors never check their own.

    Example: sojourn node checker add "Carol Meier" --key carol.key.pub
    """
    done = program.ask(home, "add_checker", name=name, key=PublicKey.load(key).hex)
    answer(done, as_json, [f"{done['name']} checks outputs here with key {done['key']}; enrolled: {done['enrolled']}."])


@checkers.command("remove")
def remove_checker(name: Name, home: Home = HERE, as_json: AsJson = False) -> None:
    """From now on no vote of this person counts, on what waits already neither.

    Example: sojourn node checker remove "Carol Meier"
    """
    done = program.ask(home, "remove_checker", name=name)
    answer(done, as_json, [f"{done['name']} checks no more; enrolled: {done['enrolled']}."])


@checkers.command("key")
def new_key(
    file: Annotated[Path, typer.Argument(help="The key file to write; it must not be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Make a checker's own key. The file stays with the checker; the custodian gets the one that ends in .pub.

    Example: sojourn node checker key carol.key
    """
    key = PrivateKey.generate()
    key.save(file)
    answer({"key": key.public.id}, as_json, [f"Key {key.public.id} is in {file}; give {file}.pub to the custodian."])


def tell_alarms(found: Sequence[Mapping[str, Any]]) -> None:
    """Print the alarms that stand: of each kind how many were seen, and the bound that they reached."""
    if found:
        rows("Unusual asks, held until `sojourn airlock clear`", ("key", "raised", *KINDS), found)


def _seen(home: Path, review: str, sha256: str) -> str:
    """The hash of what waits, where it is what this person looked at."""
    found = program.ask(home, "review", name=review)
    digest = str(found["sha256"])
    if not sha256 and found["version"]:
        raise ReviewError(
            "The output was edited since it was opened.",
            remedy=f"Look at it with `sojourn airlock show`, then give --sha256 {digest[:12]}.",
        )
    if not digest.startswith(sha256):
        raise ReviewError("The output is not the one that you looked at.", remedy="Look at it again.")
    return digest


def _vote(home: Path, person: PrivateKey, vote: Vote) -> dict[str, Any]:
    return dict(program.ask(home, "vote", document=vote.signed(person).to_dict()))


def _now() -> int:
    return int(time.time())


def _decided(done: Mapping[str, Any], as_json: bool) -> None:
    more = "Another checker is to look at it." if done["state"] == "voted once" else ""
    more = "Something was released since that makes it riskier: look at it again." if done["state"] == "open" else more
    answer(done, as_json, filter(None, (f"Review {done['id']} is {done['state']}.", more)))


def _line(row: Mapping[str, Any]) -> str:
    what = f"{row['project']}, {row['analysis']}, round {row['round']}"
    state = f"{row['has']} of {row['needs']} votes" if row["state"] in LIVE else row["state"]
    return f"{row['review']}  {row['tier']}  {row['family']}  {what}  {state}  waited {row['waited']:.0f} s"


def _tell(found: Mapping[str, Any]) -> None:
    print(f"Review {found['review']}: {found['state']}, {found['tier']} risk, {found['has']} of {found['needs']} votes")
    print(f"{found['title']}: {found['analysis']} ({found['kind']}), round {found['round']}, for {found['purpose']}")
    print(f"Rule: {found['family']}. {found['note'] or found['rule']}")
    print(f"Rows: {found['where'] or 'all'}; {found['persons']} persons. {found['covers']}")
    print(f"SHA-256 of what would leave: {found['sha256']}")
    for table in found["tables"]:
        heads = table["heads"]
        rows("Numbers", heads, [dict(zip(heads, row, strict=True)) for row in table["rows"]])
        if table["left_out"]:
            print(f"{table['left_out']} more rows: use --json.")
    if found["design"]:
        rows("Rarest levels of the design", ("level", "persons"), found["design"]["rarest_levels"])
    columns = ("study", "analysis", "kind", "columns", "same_project", "same_snapshot", "tier", "close")
    rows("Released before (close: numbers that differ by 1 to T-1)", columns, found["before"])
    if found["neighbours"]:
        rows("Nearest sets of persons in the ledger", tuple(found["neighbours"][0]), found["neighbours"])
    if found["risk"]["chance"] is not None:
        words = "; ".join(found["risk"]["reasons"]) or "nothing in particular"
        print(f"By {found['risk']['decisions']} decisions here: rejected with probability {found['risk']['chance']}")
        print(f"What raises it: {words}")
    if found["votes"]:
        rows("Votes", ("checker", "key", "verdict", "reason", "conditions", "for_run"), found["votes"])
