"""A finished study of four hospitals; its numbers are invented."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sojourn.analysis.statistic import Estimate
from sojourn.report.record import StudyRecord

RECORD = Path(__file__).parents[1] / "data" / "records" / "four_hospitals.json"
HOSTILE = '<script>alert(1)</script>"><img src="https://evil.example/x">\x1b[31m'


@pytest.fixture
def record() -> StudyRecord:
    return StudyRecord.from_dict(json.loads(RECORD.read_text(encoding="utf-8")))


@pytest.fixture
def hostile(record: StudyRecord) -> StudyRecord:
    """The same study with hostile words wherever a party can put words."""

    def poison(estimate: Estimate | None) -> Estimate | None:
        if estimate is None:
            return None
        width = len(estimate.index)
        rows = tuple((*(f"{HOSTILE}{cell}" for cell in row[:width]), *row[width:]) for row in estimate.rows)
        return replace(estimate, rows=rows, warnings=(HOSTILE,), facts={HOSTILE: HOSTILE}, exactness=HOSTILE)

    analyses = {
        f"{HOSTILE}{name}": replace(analysis, estimate=poison(analysis.estimate), arguments={"formula": HOSTILE})
        for name, analysis in record.analyses.items()
    }
    return replace(
        record,
        title=HOSTILE,
        purpose=HOSTILE,
        plan={"table": HOSTILE, "where": HOSTILE, HOSTILE: HOSTILE},
        study=HOSTILE,
        submitted=HOSTILE,
        sites={f"{HOSTILE}{site}": {} for site in record.sites},
        analyses=analyses,
        hashes={HOSTILE: HOSTILE},
        watermark=HOSTILE,
    )
