"""The report of a whole study, made by real hub and nodes and opened in a real browser: five methods and their figures.

The browser measures what it drew: no label lies on another or leaves the page, and no table is wider than it.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from browser import CHROMIUM, opened, requested
from sojourn.testbed import Federation

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
SIZES = {"Avon": 700, "Brent": 420, "Cam": 600, "Dart": 380, "Exe": 900, "Frome": 500}
COVARIATES = "age + male + smoking + ldl"
ANALYSES = {
    "table_1": sj.describe("age", "ldl", "male", by="statin"),
    "balance": sj.balance("age", "male", "smoking", "ldl", by="statin"),
    "model": sj.glm(f"event ~ statin + {COVARIATES}", "binomial", combine="both"),
    "path": sj.elastic_net(f"event ~ statin + {COVARIATES}", "binomial", count=12),
    "strata": sj.mantel_haenszel("event", "statin", "smoking"),
}
MEASURE = """<script>
const found = [], page = document.documentElement.clientWidth;
for (const figure of document.querySelectorAll("figure")) {
  const words = [...figure.querySelectorAll("text")].filter(text => text.textContent.trim());
  const boxes = words.map(text => text.getBoundingClientRect());
  boxes.forEach((a, i) => {
    const named = words[i].textContent;
    if (a.left < -1 || a.right > page + 1) found.push("leaves the page: " + named);
    for (let j = i + 1; j < boxes.length; j++) {
      const b = boxes[j];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && high > 4) found.push("overlap: " + named + " and " + words[j].textContent);
    }
  });
}
for (const one of document.querySelectorAll(".scroll"))
  if (one.scrollWidth > one.clientWidth + 1) found.push("wide: " + one.querySelector("caption").textContent);
document.documentElement.setAttribute("data-found", JSON.stringify(found));
</script>"""


def cohort(rows: int, seed: int) -> pd.DataFrame:
    """Statins are given to the old and those with much cholesterol; what they do differs between hospitals."""
    draw = np.random.default_rng(seed)
    age, male = draw.normal(62, 11, rows).clip(30, 95).round(), draw.random(rows) < 0.55
    smoking, ldl = draw.choice(["current", "former", "never"], rows), draw.normal(3.2, 0.9, rows).clip(0.8, 7).round(2)
    statin = draw.random(rows) < 1 / (1 + np.exp(0.6 - 0.03 * (age - 62) - 0.5 * (ldl - 3.2)))
    effect = -0.45 + 0.4 * draw.normal()
    risk = -0.9 + 0.045 * (age - 62) + 0.3 * male + 0.4 * (smoking == "current") + 0.35 * (ldl - 3.2) + effect * statin
    event = draw.random(rows) < 1 / (1 + np.exp(-risk))
    columns = {"age": age, "male": male, "smoking": smoking, "ldl": ldl, "statin": statin, "event": event}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = {site: {"cohort": cohort(rows, seed)} for seed, (site, rows) in enumerate(SIZES.items())}
    plan = sj.Plan(title="Statins and events in six hospitals", table="cohort", analyses=ANALYSES)
    with Federation(tables) as federation:
        results = federation.run(plan, timeout=200)
        assert all(results[name].table is not None for name in ANALYSES)
        return results.report(tmp_path_factory.mktemp("study") / "report.html")


def measured(page: Path, text: str) -> list[str]:
    """What the browser finds; the report itself runs no script, so that a copy of it does."""
    copy = page.with_name(f"measured-{abs(hash(text))}.html")
    allowed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text, count=1)
    copy.write_text(allowed.replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    done = opened(copy, copy.with_suffix(".png"), copy.with_suffix(".json"), more=("--dump-dom",))
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found is not None, done.stderr
    told: list[str] = json.loads(html.unescape(found[1]))
    return told


def test_it_opens_without_errors_or_requests(report: Path) -> None:
    picture, log = report.with_suffix(".png"), report.with_suffix(".json")
    done = opened(report, picture, log)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "CONSOLE" not in done.stderr
    assert requested(log) == set()


def test_what_it_draws_can_be_read(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert text.count("<figure>") >= 6
    assert measured(report, text) == []


def test_the_measure_would_see_overlaps_and_wide_tables(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    planted = text.replace("Odds ratio (log scale), 95 % CI", "Odds ratio " * 30).replace(
        "<caption>", "<caption>" + "w" * 150
    )
    found = measured(report, planted)
    assert any(words.startswith("overlap") or words.startswith("leaves") for words in found)
    assert any(words.startswith("wide") for words in measured(report, text.replace(".84rem", "1.6rem")))
