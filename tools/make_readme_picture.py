"""Draw docs/images/heart.svg, the picture of a real result in the README, from the demonstration's data and plan.

Run: .venv/bin/python tools/make_readme_picture.py
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pandas as pd

from sojourn.demo.federation import HOSPITALS
from sojourn.demo.plans import second_plan
from sojourn.report.figures import figure, svg
from sojourn.testbed import Federation

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "heart.svg"


def main() -> None:
    """Run the demonstration's second plan under the default rules and draw its model."""
    data = resources.files("sojourn") / "data" / "heart"
    frames = {site: pd.read_csv(str(data / file)).drop(columns="id") for site, file in HOSPITALS.items()}
    with Federation({site: {"patients": frame} for site, frame in frames.items()}) as federation:
        results = federation.run(second_plan())
    chart = figure(results.study.analyses["model"], title="Heart disease, three hospitals, no record shared")
    PICTURE.write_text(svg(chart) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
