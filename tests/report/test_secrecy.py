"""Of a masked study every reader is told what each party learns; nothing is shown by site."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from sojourn import errors
from sojourn.client.results import Results
from sojourn.report import terminal
from sojourn.report.html import fragment, render
from sojourn.report.record import SiteOutcome, StudyRecord, analysis_to_dict
from sojourn.report.secrecy import learned

SITES = ("Budapest", "Cleveland", "Long Beach", "Zurich-Basel")


@pytest.fixture
def masked(record: StudyRecord) -> StudyRecord:
    """The study of four hospitals as a masked one; one analysis is refused."""
    analyses = {
        name: replace(analysis, secrecy=learned(SITES, SITES[:3], analysis.estimate is not None))
        for name, analysis in record.analyses.items()
    }
    sites = {site: dict.fromkeys(record.analyses, SiteOutcome("took part")) for site in SITES}
    return replace(record, aggregation="masked", analyses=analyses, sites=sites)


def shown(drawn: object) -> str:
    console = Console(file=StringIO(), width=140)
    console.print(drawn)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_every_reader_is_told_for_every_analysis(masked: StudyRecord) -> None:
    page = " ".join(render(masked).split())
    for name, analysis in masked.analyses.items():
        assert len(analysis.secrecy) == 5
        for text in (shown(terminal.result(name, analysis)), fragment(name, analysis)):
            for sentence in analysis.secrecy:
                assert sentence.replace("'", "&#39;") in text or sentence in text
        assert tuple(Results(masked)[name].secrecy) == analysis.secrecy
        assert analysis_to_dict(analysis)["secrecy"] == list(analysis.secrecy)
    assert page.count("What each party learns") == len(masked.analyses)
    assert "Sites that took part</dt><dd>4 of 4" in page
    assert "which family of rules applied" not in page
    assert "not from the data" in page


def test_a_clear_study_says_nothing_of_it(record: StudyRecord) -> None:
    assert "What each party learns" not in render(record)
    assert all(not result.secrecy for result in Results(record).values())


def test_of_a_site_it_is_said_that_it_took_part(masked: StudyRecord) -> None:
    results = Results(masked)
    assert {said for did in results.sites.values() for said in did.values()} == {"took part"}
    text = shown(terminal.sites(masked))
    assert text.count("✓ took part") == len(SITES) * len(masked.analyses)


def test_what_is_not_there_by_site_says_why(masked: StudyRecord) -> None:
    results = Results(masked)
    with pytest.raises(errors.SojournError, match=r"no n by site.*no heterogeneity") as caught:
        results["model"].n_by_site  # noqa: B018
    assert "aggregation: clear" in caught.value.remedy
    with pytest.raises(errors.SojournError, match="no n by site"):
        results["vessels"].n_by_site  # noqa: B018


def test_who_could_open_what_is_named() -> None:
    sentences = learned([f"s{i}" for i in range(20)], ("s1", "s4", "s7", "s8", "s9"), True)
    assert any("s1, s4, s7, s8 and s9 on secret shares. 3 of these sites together" in words for words in sentences)
    assert any("sums over 20 sites" in words for words in sentences)


def test_it_is_in_the_record_and_older_records_are_read(masked: StudyRecord) -> None:
    document = json.loads(json.dumps(masked.to_dict()))
    assert StudyRecord.from_dict(document) == masked
    for analysis in document["analyses"].values():
        del analysis["secrecy"]
    assert all(not analysis.secrecy for analysis in StudyRecord.from_dict(document).analyses.values())
