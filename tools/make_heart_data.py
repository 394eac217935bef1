"""Make the demonstration's four hospital tables from the reference copy of the UCI heart disease data.

    python tools/make_heart_data.py tests/data/references/glm_heart_uci/sites src/sojourn/data/heart

What is changed, and nothing else: one row goes back to its hospital (`MISLABELLED`), the copy's `site` column is left
out (the file is the site, and `site` is a reserved name), booleans become true/false, and `disease` (num > 0) is added.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

SITES = {
    "cleveland": "Cleveland.csv",
    "budapest": "Hungary.csv",
    "zurich_basel": "Switzerland.csv",
    "long_beach": "VA_Long_Beach.csv",
}
MISLABELLED = {
    "id": "304",
    "age": "28",
    "trestbps": "130.0",
    "chol": "132.0",
    "thalch": "185.0",
}  # Cleveland -> Budapest
BOOLEANS = ("fbs", "exang")

Row = dict[str, str]


def read(path: Path) -> list[Row]:
    """The rows of one reference file, every value as the text that it holds."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def put_back(tables: dict[str, list[Row]]) -> None:
    """Move the one mislabelled row to the head of Budapest, where the original file has it."""
    moved = [row for row in tables["cleveland"] if MISLABELLED.items() <= row.items()]
    if len(moved) != 1:
        raise SystemExit(f"Expected the mislabelled row once in Cleveland, found it {len(moved)} times.")
    tables["cleveland"].remove(moved[0])
    tables["budapest"].insert(0, moved[0])


def published(row: Row) -> Row:
    """One row as the demonstration ships it."""
    kept = {name: value for name, value in row.items() if name != "site"}
    for name in BOOLEANS:
        kept[name] = {"True": "true", "False": "false", "": ""}[kept[name]]
    return {**kept, "disease": "true" if int(row["num"]) > 0 else "false"}


def write(path: Path, rows: list[Row]) -> None:
    """One hospital's table; an empty cell is a missing value."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(source: Path, target: Path) -> None:
    """Write the four tables into `target`."""
    tables = {site: read(source / name) for site, name in SITES.items()}
    put_back(tables)
    target.mkdir(parents=True, exist_ok=True)
    for site, rows in tables.items():
        write(target / f"{site}.csv", [published(row) for row in rows])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
