"""`sojourn demo`: the whole way of a study, for real, on four hospitals' public data."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.rule import Rule

from sojourn.analysis.partial import Partial
from sojourn.client.results import Result, Results
from sojourn.client.studies import Project, connect
from sojourn.demo.federation import PROJECT, DemoFederation, federation
from sojourn.demo.plans import first_plan, refused_plan, second_plan
from sojourn.demo.pooled import Coefficient, pooled_fit
from sojourn.errors import DisclosureRefused, StudyFailed
from sojourn.report.terminal import Boundary, Progress, Sent, result, sites, what_left
from sojourn.study.plan import Plan
from sojourn.wire.serving import until_told_to_stop

PATIENCE = 120.0


def command(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    serve: Annotated[bool, typer.Option(help="Leave the federation running and say how to go on by hand.")] = False,
    home: Annotated[Path | None, typer.Option(help="Keep everything in this empty folder.")] = None,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("sojourn-demo-report.html"),
) -> None:
    """Four hospitals in three countries, one hub, one signed study: from nothing to its report.

    Example: sojourn demo --json figures.json
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sojourn-demo-") as scratch:
        folder = home or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        console = Console()
        _say(console, "One hub and four hospitals start, in three countries")
        with federation(folder) as demo:
            figures = Story(demo, console).tell(report)
            figures["seconds"] = round(time.monotonic() - started, 1)
            if json_file is not None:
                json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
            console.print(f"\nReport: {report}   ({figures['seconds']} s)")
            if serve:
                _go_on(console, demo)
                until_told_to_stop()
    console.print("Everything that was started has ended.")


class Story:
    """The steps of the demonstration, each shown as it happens."""

    def __init__(self, demo: DemoFederation, console: Console) -> None:
        self.demo = demo
        self.console = console

    def tell(self, report: Path) -> dict[str, Any]:
        """Run everything; the figures of `sojourn demo --json`."""
        self._sandbox()
        researcher = connect(login=self.demo.login())
        project = researcher.project(PROJECT)
        self._first(project)
        results = self._second(project)
        model = results["model"]
        figures = self._compare(model)
        figures["bytes_left"] = self._boundary(results)
        figures["refused"] = self._refused(project)
        figures["sites"] = model.sites
        figures["audit_verified"] = self._verify(results)
        results.report(report)
        researcher.close()
        return figures

    def _sandbox(self) -> None:
        if self.demo.sandbox == "none":
            words = "No sandbox can be had on this machine. The data are public, so the demo goes on without one."
            self.console.print(words, style="yellow")
        else:
            self.console.print("Every computation runs sealed: no network, no files but its own analysis table.")

    def _first(self, project: Project) -> None:
        _say(self.console, "A first question, by sex too: three hospitals will have to refuse")
        results = self._run(project, first_plan())
        self.console.print(result("model", results.study.analyses["model"]))
        self.console.print(sites(results.study))

    def _second(self, project: Project) -> Results:
        _say(self.console, "The same question without the term that stood on too few persons")
        results = self._run(project, second_plan())
        for name, analysis in results.study.analyses.items():
            self.console.print(result(name, analysis))
        self.console.print(sites(results.study))
        return results

    def _run(self, project: Project, plan: Plan) -> Results:
        run = project.submit(plan)
        self.console.print(f"Signed and submitted: plan {plan.hash[:16]}…, study {run.study[:16]}…")
        if not self.console.is_terminal:
            return run.wait(PATIENCE, self._line)
        with Progress(self.console) as progress:
            return run.wait(PATIENCE, progress)

    def _line(self, event: Mapping[str, Any]) -> None:
        """Where nobody watches a table change: a line for each round asked and each analysis ended."""
        place = f"{event['analysis']}: " if "analysis" in event else ""
        if event["state"] == "asked":
            self.console.print(f"{place}round {event['round']} asked of {', '.join(event['sites'])}", soft_wrap=True)
        elif "site" not in event:
            self.console.print(f"{place}{event['state']}")

    def _compare(self, model: Result) -> dict[str, Any]:
        released = [site for site, outcome in model.sites.items() if outcome == "contributed"]
        pooled = pooled_fit(released)
        table = model.table
        federated = [
            Coefficient(str(term), float(row["estimate"]), float(row["std_error"])) for term, row in table.iterrows()
        ]
        apart = [
            abs(ours.estimate - theirs.estimate) / theirs.std_error
            for ours, theirs in zip(federated, pooled, strict=True)
        ]
        _say(self.console, "Federated against pooled")
        self.console.print("The same model, fitted apart on all rows of: " + ", ".join(released))
        self.console.print(f"{'term':<16}{'federated':>22}{'pooled':>22}", style="dim")
        for ours, theirs in zip(federated, pooled, strict=True):
            words = f"{ours.term:<16}{ours.estimate:>22.15f}{theirs.estimate:>22.15f}"
            self.console.print(words, highlight=False)
        self.console.print(f"Largest difference: {max(apart):.1e} standard errors")
        return {
            "model": [asdict(ours) for ours in federated],
            "pooled": [asdict(theirs) for theirs in pooled],
            "max_difference_se": max(apart),
        }

    def _boundary(self, results: Results) -> dict[str, int]:
        _say(self.console, "What left each hospital, and what stayed")
        boundaries, total = {}, {}
        for site in results.study.sites:
            released = self.demo.released(site, results.study.study)
            boundaries[site] = Boundary(tuple(_sent(released)), self.demo.columns(site))
            total[site] = sum(item["bytes"] for item in released)
        self.console.print(what_left(boundaries))
        sealed = ", ".join(f"{site} {count:,} B" for site, count in total.items())
        self.console.print(f"As sent, with headers, signatures and sealing: {sealed}.")
        return total

    def _refused(self, project: Project) -> dict[str, str]:
        plan, ask = refused_plan()
        _say(self.console, "A question that no site answers")
        self.console.print(ask)
        try:
            self._run(project, plan)["count"].table  # noqa: B018
        except DisclosureRefused as refusal:
            self.console.print(f"Refused: {refusal.args[0]}", style="yellow")
            self.console.print(f"What helps: {refusal.remedy}")
            return {"ask": ask, "rule": refusal.family}
        raise StudyFailed("A question that must be refused was answered.", remedy="Do not use this installation.")

    def _verify(self, results: Results) -> bool:
        _say(self.console, "Who can check it")
        for check in results.study.checks:
            self.console.print(f"{'✓' if check.ok else '✗'} {check.words}")
        logs = self.demo.verify()
        for name, sound in logs.items():
            self.console.print(f"{'✓' if sound else '✗'} The log of {name} verifies from its first entry.")
        return results.trusted and all(logs.values())


def _sent(released: list[dict[str, Any]]) -> list[Sent]:
    sent = []
    for item in released:
        if item["answer"] is None:
            continue
        partial = Partial.from_dict(item["answer"]["release"]["partial"])
        for name, array in partial.arrays.items():
            cells = zip(array.ravel()[:4], partial.hidden(name).ravel()[:4], strict=True)
            preview = tuple(None if hidden else float(value) for value, hidden in cells)
            sent.append(Sent(item["analysis"], item["round"], name, array.shape, array.nbytes, preview))
    return sent


def _say(console: Console, words: str) -> None:
    console.print()
    console.print(Rule(words, align="left"))


def _go_on(console: Console, demo: DemoFederation) -> None:
    console.print(
        f"""
The federation runs. In another shell:

  export SOJOURN_LOGIN={demo.home / "researcher"}
  sojourn whoami
  sojourn hub show --home {demo.home / "hub"} --diagram
  sojourn node released --home {demo.home / "Cleveland"}
  sojourn study submit PLAN.yaml --project {PROJECT}

Ctrl-C ends everything.""",
        soft_wrap=True,
        highlight=False,
    )
