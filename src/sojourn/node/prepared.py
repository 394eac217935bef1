"""The prepared analysis table as a file: what a sandboxed worker reads. Plain arrays, never pickled objects."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.declaration import variable_from_dict, variable_to_dict
from sojourn.analysis.population import Population
from sojourn.errors import PlanError


def write_population(population: Population, path: Path) -> None:
    """Write a population (npz); the arrays are numbered, so that no name of a column becomes a name in the file."""
    columns, missing, absent = (sorted(names) for names in (population.columns, population.missing, population.absent))
    head = {
        "site": population.site,
        "variables": {name: variable_to_dict(variable) for name, variable in population.variables.items()},
        "columns": columns,
        "missing": missing,
        "absent": absent,
    }
    arrays: dict[str, NDArray[Any]] = {
        "head": np.frombuffer(json.dumps(head).encode("utf-8"), dtype=np.uint8),
        "persons": population.persons,
    }
    arrays |= {f"column_{place}": population.columns[name] for place, name in enumerate(columns)}
    arrays |= {f"missing_{place}": population.missing[name] for place, name in enumerate(missing)}
    arrays |= {f"absent_{place}": population.absent[name] for place, name in enumerate(absent)}
    with path.open("xb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    path.chmod(0o644)  # the worker has another uid; the job's folder keeps everyone else out


def read_population(path: Path) -> Population:
    """Read `write_population`'s file; ValueError on anything else."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            head = json.loads(arrays["head"].tobytes())
            return Population(
                head["site"],
                {name: variable_from_dict(words, name) for name, words in head["variables"].items()},
                {name: arrays[f"column_{place}"] for place, name in enumerate(head["columns"])},
                arrays["persons"],
                {name: arrays[f"missing_{place}"] for place, name in enumerate(head["missing"])},
                {name: arrays[f"absent_{place}"] for place, name in enumerate(head["absent"])},
            )
    except (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile, PlanError) as error:
        raise ValueError("not a population") from error
