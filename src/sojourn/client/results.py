"""What an analyst gets: results as pandas tables and figures, with what each site did and how exact each answer is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn import errors
from sojourn.analysis.statistic import Cell, Estimate, Suppressed
from sojourn.analysis.suggestion import did_you_mean
from sojourn.disclosure.change import Offer
from sojourn.report.doubts import Doubt, doubts
from sojourn.report.ratios import exponentiated
from sojourn.report.record import AnalysisRecord, Refusal, StudyRecord, analysis_to_dict
from sojourn.report.secrecy import NOT_BY_SITE, NOT_BY_SITE_REMEDY

if TYPE_CHECKING:
    import pandas as pd

    from sojourn.client.archive import Evidence
    from sojourn.client.studies import Run
    from sojourn.report.drawing import Figure

Accept = Callable[[Offer], "Run"]
_SILENT = ("not released", "no answer")


def _nowhere(offer: Offer) -> Run:
    raise errors.StudyFailed(
        "These results were read from a file, so that there is nowhere to submit to.",
        remedy="Fetch them: `federation.study(STUDY).results()`, or `sojourn study mitigate STUDY --offer N`.",
    )


class UnknownAnalysis(errors.PlanError, KeyError):
    """No analysis of the study has this name; a KeyError too, as mappings raise."""

    def __init__(self, name: object, known: Sequence[str]) -> None:
        remedy = did_you_mean(str(name), known) or f"The study has: {', '.join(known)}."
        super().__init__(f"The study has no analysis `{str(name)[:40]}`.", remedy=remedy)

    def __str__(self) -> str:
        return f"{self.args[0]} Remedy: {self.remedy}"  # a KeyError's own would put quotation marks around it


class Result:
    """The answer of one analysis. A refused one raises its error where a number is read; the rest stays readable."""

    def __init__(self, name: str, record: StudyRecord, accept: Accept = _nowhere) -> None:
        self.name = name
        self._record = record
        self._accept = accept
        self._analysis = record.analyses[name]

    @property
    def kind(self) -> str:
        """The statistic, e.g. `glm`."""
        return self._analysis.kind

    @property
    def table(self) -> pd.DataFrame:
        """The answer as a new DataFrame; columns and index by kind of statistic.

        Models: index `term`; `estimate, std_error, statistic, p_value, ci_low, ci_high`. describe: a row a variable
        (and group); `n, missing, mean, sd`. count, crosstab, histogram: a row a cell; `n`. A cell that may not be shown
        is a `Suppressed` (prints as `suppressed [low, high]`), which no arithmetic accepts; NaN: not available.
        Raises DisclosureRefused, TooFewSites, ConvergenceError or StudyFailed where there is no answer.
        """
        return self._frame(self._estimate())

    def exponentiate(self) -> pd.DataFrame:
        """The table of a model as ratios: `estimate`, `ci_low` and `ci_high` are exponentials.

        The standard error stays on the log scale and is called `std_error_log`; statistic and p-value do not change.
        SojournError where the analysis has no coefficients.
        """
        estimate = self._estimate()
        if "estimate" not in estimate.columns:
            raise errors.SojournError(
                f"{self.name} has no coefficients.", remedy="Call exponentiate() on a model, e.g. `glm`."
            )
        return self._frame(exponentiated(estimate))

    @property
    def sites(self) -> dict[str, str]:
        """What each site did: `contributed`, or `not released` or `no answer` with the family. Never a count.

        Of a masked analysis `took part`, which a site without data does too.
        """
        return {site: str(outcome) for site, outcome in self._record.outcomes(self.name).items()}

    @property
    def secrecy(self) -> list[str]:
        """Of a masked analysis what each party learns, in sentences; empty of a clear one."""
        return list(self._analysis.secrecy)

    @property
    def exactness(self) -> str:
        """`pooled`, or `approximate: why`."""
        return self._estimate().exactness

    @property
    def rounds(self) -> int:
        """Trips from the hub to the sites and back."""
        return self._analysis.rounds

    @property
    def warnings(self) -> list[str]:
        """Sentences for the reader, the doubts among them; empty for a refused analysis."""
        if self._analysis.estimate is None:
            return []
        told = (*self._analysis.estimate.warnings, *_left_out(self._record, self.name), *_hiding(self._analysis))
        return [*told, *(doubt.sentence() for doubt in self.doubts)]

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What should make a reader look twice, e.g. sites that disagree; each with evidence and what to look at."""
        return doubts(self._record, self.name)

    @property
    def by_site(self) -> dict[str, Any]:
        """What each site's releases of a clear plan say of it; empty of a masked one, and where it says nothing.

        `fits`: {site: {term: estimate, std_error, ci_low, ci_high}}, of a pooled model `how` is `one step`: one Newton
        step from the pooled estimate. `means`, `counts`, `n`: as released.
        """
        return dict(self._analysis.by_site)

    @property
    def offers(self) -> list[Offer]:
        """What may pass instead, where something was suppressed or refused; each says what would be done.

        An offer is made of the plan, the dictionaries and what you see here, so that it tells nothing more of the data.
        Each site judges it anew.
        """
        return list(self._analysis.offers)

    def accept(self, offer: Offer) -> Run:
        """Submit the plan of this analysis with the offer in it, to the same sites and project; returns at once.

        PlanError where the offer is not of this analysis.
        """
        if offer not in self._analysis.offers:
            raise errors.PlanError(f"This is no offer for `{self.name}`.", remedy="Use one of its `offers`.")
        return self._accept(offer)

    @property
    def mitigation(self) -> list[str]:
        """What was changed in the plan so that this may pass; empty where nothing was."""
        return list(self._record.mitigation)

    @property
    def facts(self) -> dict[str, Any]:
        """Numbers beside the table, e.g. the log-likelihood or tests."""
        facts: dict[str, Any] = _plain(self._estimate().facts)
        return facts

    @property
    def n(self) -> int | Suppressed | None:
        """Size of the population, as released; None where it is not part of the answer."""
        found: int | Suppressed | None = self._estimate().facts.get("n")
        return found

    @property
    def n_by_site(self) -> dict[str, int | Suppressed] | None:
        """As `n`, by site; None where the sites did not release it. SojournError of a masked analysis says why not."""
        if self._analysis.secrecy:
            raise errors.SojournError(f"{self.name}: {NOT_BY_SITE}", remedy=NOT_BY_SITE_REMEDY)
        found = self._estimate().facts.get("n_by_site")
        return None if found is None else dict(found)

    def plot(self, kind: str = "", term: str = "") -> Figure | None:
        """An Altair chart of what was released; None where there is nothing to draw.

        kind: empty for the one that suits the analysis; `by site` for small multiples, `funnel` or `baujat` for a
        coefficient over five sites or more. term: which coefficient; empty for the first. SojournError for other kinds.
        """
        from sojourn.report.figures import figure, of_kind

        self._estimate()
        if not kind:
            return figure(self._analysis, self.name, self._record.watermark)
        return of_kind(kind, self._analysis, term, self.name, self._record.watermark)

    def to_dict(self) -> dict[str, Any]:
        """JSON form: kind, arguments, estimate or refusal, rounds, bytes left, sites; watermark where there is one."""
        mark = {"watermark": self._record.watermark} if self._record.watermark else {}
        return {**analysis_to_dict(self._analysis), "sites": self.sites, **mark}

    def __repr__(self) -> str:
        refused = self._analysis.refused
        state = f"refused: {refused.words}" if refused else f"{len(self._estimate().rows)} rows, {self.exactness}"
        return f"<Result {self.name!r} ({self.kind}): {state}{_banner(self._record)}>"

    def _repr_html_(self) -> str:
        from sojourn.report.html import fragment

        return fragment(self.name, self._analysis, self._record.watermark, self.doubts, picture=True)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """For notebooks: table and figure as HTML; `plot()` is the figure that answers the pointer."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _estimate(self) -> Estimate:
        if self._analysis.refused is not None:
            raise error_of(self.name, self._analysis.refused)
        assert self._analysis.estimate is not None  # a record has one or the other
        return self._analysis.estimate

    def _frame(self, estimate: Estimate) -> pd.DataFrame:
        table = frame(estimate)
        if self._record.watermark:
            table.attrs["watermark"] = self._record.watermark
        return table


class Results(Mapping[str, Result]):
    """The answers of a study by the names of the plan, and its record."""

    def __init__(self, record: StudyRecord, accept: Accept = _nowhere, evidence: Evidence | None = None) -> None:
        self.study = record
        self._evidence = evidence
        self._results = {name: Result(name, record, accept) for name in record.analyses}

    def __getitem__(self, name: str) -> Result:
        if name not in self._results:
            raise UnknownAnalysis(name, tuple(self._results))
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    @property
    def watermark(self) -> str:
        """Not empty where these are no results: of a rehearsal, or of a site whose rules were not the product's."""
        return self.study.watermark

    @property
    def sites(self) -> dict[str, dict[str, str]]:
        """For each site what it did for each analysis."""
        return {site: {name: result.sites[site] for name, result in self.items()} for site in self.study.sites}

    @property
    def rehearsal(self) -> dict[str, dict[str, str]] | None:
        """For each analysis what each site would do, e.g. "would be released, 2 cells suppressed", "would be held".

        It is said of synthetic stand-ins, so that it is a guide to a plan and no forecast. None for a study.
        """
        return {name: self.study.would(name) for name in self} if self.study.rehearsal else None

    @property
    def offers(self) -> list[Offer]:
        """What may pass instead, over all analyses, in the order in which `sojourn study show` numbers them."""
        return list(self.study.offers)

    @property
    def mitigation(self) -> list[str]:
        """What was changed in the plan so that it may pass; empty where nothing was."""
        return list(self.study.mitigation)

    @property
    def trusted(self) -> bool:
        """Whether every check that was made here holds; False where none was made."""
        return bool(self.study.checks) and all(check.ok for check in self.study.checks)

    def report(self, path: str | Path) -> Path:
        """Write the report, one self-contained HTML file, also where analyses were refused. Returns the path."""
        from sojourn.report.html import render

        return _written(Path(path), render(self.study).encode("utf-8"))

    def record(self, path: str | Path) -> Path:
        """Write the study's record, one ZIP file that proves itself: a Five Safes RO-Crate in a BagIt bag.

        It holds plan, sites, snapshots, versions, checks, decisions, signed releases, results, figures, report and
        proofs; of a masked plan hashes of its releases. `sojourn study record --verify` checks it offline. Returns the
        path. StudyFailed where the results were read from a file: the evidence is at the hub.
        """
        if self._evidence is None:
            raise errors.StudyFailed(
                "These results were read from a file, without the signed releases behind them.",
                remedy="Fetch them: `federation.study(STUDY).results()`, or `sojourn study record STUDY`.",
            )
        return _written(Path(path), self._evidence.archive(self.study))

    def to_dict(self) -> dict[str, Any]:
        """The study's record in its JSON form; `StudyRecord.from_dict` reads it."""
        return self.study.to_dict()

    def __repr__(self) -> str:
        return f"<Results of {self.study.title!r}: {', '.join(self)}{_banner(self.study)}>"

    def _repr_html_(self) -> str:
        return f"<h3>{escape(self.study.title)}</h3>" + "".join(result._repr_html_() for result in self.values())

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def error_of(name: str, refused: Refusal) -> errors.SojournError:
    """The error that reading a refused analysis raises."""
    words = f"{name}: {refused.words}"
    if refused.error == "DisclosureRefused":
        return errors.DisclosureRefused(refused.family, words)
    kinds: dict[str, type[errors.SojournError]] = {
        "TooFewSites": errors.TooFewSites,
        "ConvergenceError": errors.ConvergenceError,
        "StudyFailed": errors.StudyFailed,
        "DroppedOut": errors.DroppedOut,
    }
    return kinds[refused.error](words, remedy=refused.remedy)


def frame(estimate: Estimate) -> pd.DataFrame:
    """An estimate as a DataFrame. A column is of type object only where a cell of it is suppressed or mixed."""
    import pandas as pd

    width = len(estimate.index)
    index = None
    if width == 1:
        index = pd.Index([row[0] for row in estimate.rows], name=estimate.index[0])
    elif width > 1:
        index = pd.MultiIndex.from_tuples([row[:width] for row in estimate.rows], names=estimate.index)
    columns = {
        name: _series([row[place] for row in estimate.rows], index)
        for place, name in enumerate(estimate.columns, start=width)
    }
    return pd.DataFrame(columns, index=index, columns=list(estimate.columns))


def _series(cells: list[Cell], index: pd.Index | None) -> pd.Series:
    """A column of the narrowest fitting type: int64, Int64 where some are not available, float64, or object."""
    import pandas as pd

    given = {type(cell) for cell in cells if cell is not None}
    if given == {int}:
        return pd.Series(cells, index=index, dtype="Int64" if None in cells else "int64")
    if given <= {int, float}:
        return pd.Series(cells, index=index, dtype="float64")
    return pd.Series(cells, index=index, dtype=object if Suppressed in given else None)


def _left_out(record: StudyRecord, name: str) -> list[str]:
    """A sentence where sites did not contribute to an answer."""
    outcomes = record.outcomes(name)
    silent = [f"{site} ({done.family or done.status})" for site, done in outcomes.items() if done.status in _SILENT]
    if not silent:
        return []
    there = len(outcomes) - len(silent)
    return [f"{', '.join(silent)} did not contribute: every number, n too, is of {there} of {len(outcomes)} sites."]


def _hiding(analysis: AnalysisRecord) -> list[str]:
    """A sentence where cells are suppressed. It names all reasons that there are, and tells of none which it was."""
    estimate = analysis.estimate
    if estimate is None or not analysis.hidden:
        return []
    names = (*estimate.index, *estimate.columns)
    told = [pair for row in estimate.rows for pair in zip(names, row, strict=True)]
    if not any(isinstance(cell, Suppressed) and name != "missing" for name, cell in told):  # few miss: nothing to do
        return []
    return [
        f"Cells were hidden at {', '.join(sorted(analysis.hidden))}: too few persons stand behind them, one or two are "
        "most of them, or they would follow from others or from what was released before. Ask related tables in one "
        f"plan, the one that matters most first{'; or see `offers`' if analysis.offers else ''}."
    ]


def _plain(value: Any) -> Any:
    """A fact without NumPy's types."""
    if isinstance(value, Mapping):
        return {word: _plain(part) for word, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(part) for part in value)
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value


def _written(path: Path, content: bytes) -> Path:
    """The path, with this in it. SojournError where it cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise errors.SojournError(
            f"`{path}` cannot be written: {error.strerror or 'no reason given'}.",
            remedy="Make its folder first, or name a file in a folder that you may write to.",
        ) from error
    return path


def _banner(record: StudyRecord) -> str:
    return f" [{record.watermark}]" if record.watermark else ""
