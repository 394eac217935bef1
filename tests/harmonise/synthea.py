"""The synthetic hospital of the OHDSI ETL tutorial: its raw export, our plan, and its vocabulary."""

from __future__ import annotations

import shutil
from pathlib import Path

from harmonise.clinic import Clinic
from sojourn.node.harmonise import vocabulary_loading

DATA = Path(__file__).parents[1] / "data" / "synthea_etl"


def synthea(folder: Path) -> Clinic:
    """An export with its plan, ready to be piloted."""
    shutil.copytree(DATA / "source", folder / "export")
    vocabulary_loading.load(DATA / "vocabulary", folder / "warehouse.duckdb")
    return Clinic(folder, folder / "warehouse.duckdb", (DATA / "plan.yaml").read_text(encoding="utf-8"))
