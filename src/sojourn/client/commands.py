"""`sojourn login`, `sojourn study …`: the analyst's words, thin over the client library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sojourn import __version__
from sojourn.client import archive_verification
from sojourn.client.login import forget_login, load_login, save_login
from sojourn.client.results import Results, error_of
from sojourn.client.studies import Run, connect
from sojourn.client.verification import LogIdentity
from sojourn.errors import AuditError, PlanError, SojournError
from sojourn.report.printing import answer
from sojourn.report.terminal import Progress, offered, rehearsed, result, sites
from sojourn.study.plan import Plan
from sojourn.wire.address import Address

app = typer.Typer(help="Studies: check, submit, watch, show, cancel.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
PlanFile = Annotated[Path, typer.Argument(help="The plan, YAML or JSON.")]
StudyId = Annotated[str, typer.Argument(help="The study's id, as `submit` printed it.")]
ProjectName = Annotated[str, typer.Option("--project", help="The project to submit to.")]
ReportFile = Annotated[Path | None, typer.Option(help="Write the HTML report here.")]


def login(
    address: Annotated[str, typer.Argument(help="The line that `sojourn hub show` prints.")],
    key: Annotated[Path | None, typer.Option(help="Your key file; a new one is made where none is given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Remember a hub and your key.

    Example: sojourn login sojourn1.eyJ… --key ada.key
    """
    saved = save_login(Address.decode(address), key)
    public = saved.key().public
    lines = [
        f"Logged in to {saved.address.federation} with key {public.id}.",
        f"Give this file to custodians and to the hub's administrator: {saved.key_file}.pub",
    ]
    answer({"federation": saved.address.federation, "key": public.hex, "key_file": saved.key_file}, as_json, lines)


def logout(as_json: AsJson = False) -> None:
    """Forget the hub; your key file stays.

    Example: sojourn logout
    """
    forget_login()
    answer({"login": None}, as_json, ["Logged out. Your key file stays where it is."])


def whoami(as_json: AsJson = False) -> None:
    """Which hub and which key are in use.

    Example: sojourn whoami
    """
    saved = load_login()
    public = saved.key().public
    document = {"federation": saved.address.federation, "url": saved.address.url, "key": public.hex}
    answer(document, as_json, [f"{saved.address.federation} at {saved.address.url}, key {public.id}"])


@app.command()
def check(
    plan: PlanFile,
    project: Annotated[str | None, typer.Option(help="Check against this project's dictionaries too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read a plan and say what is wrong with it, before anything is sent.

    Example: sojourn study check plan.yaml --project heart

    A plan to start from:

    \b
        title: Age and cholesterol
        purpose: HMB
        table: patients
        where: age >= 18
        analyses:
          table1: {count: {by: sex}}
          model: {glm: {formula: chol ~ age + C(sex)}}
    """
    read = Plan.load(plan)
    read.check_supported()
    if project is not None:
        with connect() as federation:
            read = federation.project(project).complete(read)
    columns = ", ".join(read.names)
    lines = [f"The plan is valid. Hash {read.hash}", f"It names the columns: {columns or 'none'}"]
    if not read.purpose:
        lines.append("It has no purpose yet: add e.g. `purpose: HMB` before you submit it.")
    answer({"valid": True, "hash": read.hash, "columns": list(read.names)}, as_json, lines)


@app.command()
def submit(
    plan: PlanFile,
    project: ProjectName,
    site: Annotated[list[str] | None, typer.Option(help="Only these; default: all that publish the table.")] = None,
    watch: Annotated[bool, typer.Option(help="Wait for the results.")] = True,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign a plan and submit it to all chosen sites at once.

    Example: sojourn study submit plan.yaml --project heart --report report.html
    """
    read = Plan.load(plan)
    with connect() as federation:
        run = federation.project(project).submit(read, sites=site or "all")
        if watch:
            answer(None, False, () if as_json else [f"Submitted as {run.study}. Ctrl-C leaves it running."])
            _show(run, report, as_json)
            return
    answer({"study": run.study}, as_json, [f"Submitted as {run.study}.", f"Next: sojourn study watch {run.study}"])


@app.command()
def rehearse(
    plan: PlanFile,
    project: ProjectName,
    site: Annotated[list[str] | None, typer.Option(help="Only these; default: all that publish the table.")] = None,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Run a plan through the sites' airlocks on synthetic stand-ins and see what they would let out.

    The numbers mean nothing. Example: sojourn study rehearse plan.yaml --project heart
    """
    read = Plan.load(plan)
    with connect() as federation:
        run = federation.project(project).rehearse(read, sites=site or "all")
        answer(None, False, () if as_json else [f"Rehearsal {run.study}. Ctrl-C leaves it running."])
        _show(run, report, as_json)


@app.command()
def watch(study: StudyId, report: ReportFile = None, as_json: AsJson = False) -> None:
    """Follow a study to its end. Ctrl-C leaves it running.

    Example: sojourn study watch 3f2a…
    """
    with connect() as federation:
        _show(federation.study(study), report, as_json)


@app.command()
def show(study: StudyId, report: ReportFile = None, as_json: AsJson = False) -> None:
    """Where a study stands, and its results where it has ended.

    Example: sojourn study show 3f2a… --report report.html
    """
    with connect() as federation:
        run = federation.study(study)
        seen = run.view()
        results = None if seen.finished is None else run.results()
    if results is None:
        document = {"study": study, "state": seen.state, "events": seen.events}
        answer(document, as_json, [f"{seen.title}: {seen.state}", *(_line(event) for event in seen.events)])
        return
    _print(results, report, as_json)


@app.command()
def mitigate(
    study: StudyId,
    offer: Annotated[int, typer.Option(min=1, help="The offer's number, as `study show` lists it.")],
    watch: Annotated[bool, typer.Option(help="Wait for the results.")] = True,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Accept an offer: submit a study's plan again, changed so that it may pass, in one step.

    Example: sojourn study mitigate 3f2a… --offer 2
    """
    with connect() as federation:
        results = federation.study(study).results()
        if offer > len(results.offers):
            remedy = f"See what is offered: `sojourn study show {study}`."
            raise PlanError(f"There is no offer {offer}: the study has {len(results.offers)}.", remedy=remedy)
        chosen = results.offers[offer - 1]
        run = results[chosen.analysis].accept(chosen)
        said = [f"{chosen.analysis}: {chosen.words}", f"Submitted as {run.study}."]
        if watch:
            answer(None, False, () if as_json else said)
            _show(run, report, as_json)
            return
    said.append(f"Next: sojourn study watch {run.study}")
    answer({"study": run.study, "change": chosen.to_dict()}, as_json, said)


@app.command()
def record(
    study: Annotated[str, typer.Argument(help="The study's id, as `submit` printed it.")] = "",
    out: Annotated[Path, typer.Option(help="Write the record here.")] = Path("study.zip"),
    verify: Annotated[Path | None, typer.Option(help="Check this record instead, without a network.")] = None,
    hub: Annotated[str, typer.Option(help="With --verify: the address of the hub whose log it must rest on.")] = "",
    researcher: Annotated[str, typer.Option(help="With --verify: the public key that must have signed it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a study's record, a Five Safes RO-Crate with all that is behind it; with --verify, check one offline.

    Example: sojourn study record 3f2a… --out study.zip
    """
    if (verify is None) != bool(study):
        raise SojournError(
            "A study or a file is expected.",
            remedy="`sojourn study record STUDY --out study.zip`, or `sojourn study record --verify study.zip`.",
        )
    if verify is not None:
        _verify(verify, hub, researcher, as_json)
        return
    with connect() as federation:
        path = federation.study(study).results().record(out)
    said = [f"Record: {path}", f"Next: sojourn study record --verify {path}"]
    answer({"study": study, "record": str(path)}, as_json, said)


@app.command()
def cancel(study: StudyId, as_json: AsJson = False) -> None:
    """Stop a study at the hub and at every node.

    Example: sojourn study cancel 3f2a…
    """
    with connect() as federation:
        done = federation.study(study).cancel()
    answer({"study": study, "cancelled": done}, as_json, ["Cancelled." if done else "The study had ended."])


def _verify(path: Path, hub: str, researcher: str, as_json: bool) -> None:
    """Print what was found; where the record does not hold, raise it, which ends the command with exit 1."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AuditError(f"{path} cannot be read.", remedy="Check its path.") from error
    address = Address.decode(hub) if hub else None
    known = None if address is None else LogIdentity(address.federation, address.log_key)
    verdict = archive_verification.verify(data, known, researcher)
    keys = [f"Signed by the researcher's key {verdict.researcher}", f"Log of {verdict.origin}, key {verdict.log}"]
    lines = [f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.words}" for check in verdict.checks]
    answer(verdict.to_dict(), as_json, [f"Study {verdict.study}", *lines, *keys])
    if not verdict.holds:
        names = ", ".join(sorted(verdict.faults))
        remedy = "Ask whoever gave it to you for a new copy, or write it again: `sojourn study record STUDY`."
        if verdict.made_with != __version__:
            remedy = f"It was made with Sojourn {verdict.made_with or '(unknown)'}: check it with that. {remedy}"
        raise AuditError(f"The record does not hold: {names}.", remedy=remedy)


def _show(run: Run, report: Path | None, as_json: bool) -> None:
    if as_json:
        _print(run.wait(), report, as_json)
        return
    with Progress() as progress:
        results = run.wait(progress=progress)
    _print(results, report, as_json)


def _print(results: Results, report: Path | None, as_json: bool) -> None:
    """Print the results; where no analysis has an answer, raise why, which ends the command with exit 1."""
    if report is not None:
        results.report(report)
    answer(results.to_dict(), as_json)
    if not as_json:
        console = Console()
        for name, analysis in results.study.analyses.items():
            console.print(result(name, analysis, results.watermark))
        console.print(rehearsed(results.study) if results.study.rehearsal else sites(results.study))
        if results.offers or results.mitigation:
            console.print(offered(results.study))
        if report is not None:
            print(f"Report: {report}")
    refused = [error_of(name, found.refused) for name, found in results.study.analyses.items() if found.refused]
    if refused and len(refused) == len(results):
        raise refused[0]


def _line(event: Mapping[str, Any]) -> str:
    if event["state"] == "in review":
        return f"  {event['analysis']}: in review at {event['site']}"
    place = " ".join(str(event[word]) for word in ("analysis", "site") if word in event)
    return f"  {place}: {event['state']}" if place else f"  {event['state']}"
