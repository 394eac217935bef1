"""Geography

An area is told apart only where enough people live in it, patients or not: 20,000 for the first three digits of a US
postcode, 100 for areas of a site's own making; a site may ask for more. The dictionary declares which variable is an
area, of which kind, and how many people live in each of its levels. The rule is asked of everything that is released.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"area": "zip3", "populations": "410000, 96000"}, "released", "both have more than 20,000 inhabitants"),
    ({"area": "zip3", "populations": "410000, 19999"}, "refused: geography", "one has fewer"),
    ({"area": "custom", "populations": "1200, 100"}, "released", "districts of a town"),
    ({"area": "custom", "populations": "1200, 99"}, "refused: geography", "one is a street"),
    ({"area": "none", "populations": ""}, "released", "a variable that is no area"),
    ({"area": "custom", "populations": "1200"}, "refused: check failed", "the population of one is not known"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_geography(given, verdict, why, spec):
    people = tuple(int(n) for n in given["populations"].split(", ") if n)
    area = "" if given["area"] == "none" else given["area"]
    variables = {"place": spec.outputs.category(("north", "south"), area=area, populations=people)}
    output = spec.outputs.table([60, 50], dimensions=("place",), variables=variables)
    assert spec.verdict(output) == verdict
