"""Every attack that this project holds itself to, and why some of them have no test yet.

A: published attacks on federated analyses. D: what every disclosure test must include. An attack may have tests and
still be open in part: then both stand in the table.
"""

from __future__ import annotations

A = {
    "A01": "Differencing: everybody and everybody but one",
    "A02": "Differencing by a duplicated row",
    "A03": "An indicator of one person times a column",
    "A04": "Tracker: a forbidden set as a large one less the rest of it",
    "A05": "Averaging fresh noise over repeats",
    "A06": "Averaging noise over rewritings of one ask",
    "A07": "Reconstruction by linear programming over many subsets",
    "A08": "Covariance with vectors of the analyst's making",
    "A09": "Saturated or high-leverage regression",
    "A10": "Membership from allele frequencies",
    "A11": "Membership by a beacon",
    "A12": "Differencing over versions of the data",
    "A13": "Extremes, quantiles, rare categories, singletons",
    "A14": "A hidden cell from its margins",
    "A15": "Dominance: one giant value",
    "A16": "Rows out of gradients",
    "A17": "Two models in one round",
    "A18": "A site that sends what is no data",
    "A19": "Requests forged or altered by the hub",
    "A20": "The hub and colluding sites",
    "A21": "Two masked sums over different rosters, or persons",
    "A22": "Masks or rounds used twice",
    "A23": "A site said to have dropped out that has not",
    "A24": "Replay, and rollback to an older node",
    "A25": "Timing",
    "A26": "Size of encrypted results",
    "A27": "Values in error messages",
    "A28": "Success and failure as a bit",
    "A29": "Low-order digits",
    "A30": "Order, names, NaN payloads, pixels, metadata",
    "A31": "Plain capacity",
    "A32": "A seed of the analyst's choice",
    "A34": "Two accounts, two budgets",
    "A35": "Ten times the usual volume of asks",
}
D = {
    "D01": "Differencing by the same analyst, by two, by two projects",
    "D02": "Tracker queries",
    "D03": "A dummy variable of one person in a regression",
    "D04": "Covariance with built vectors: rows read off",
    "D05": "A 0/1 mask over rows with a mean of each",
    "D06": "Minimum, maximum, mode, quantile 0.999 of small groups",
    "D07": "Histogram edges from the data; a bin of one; a count beside a withheld mean",
    "D08": "A lone suppressed cell; linked tables; rounding before suppression",
    "D09": "Survival steps of single events; risk sets",
    "D10": "Names, numbers and dates in whatever is not a number",
    "D11": "Membership tests and gradient inversion",
    "D12": "An opt-out between two runs",
    "D13": "A federation of two in which each subtracts itself",
    "D14": "A hub that chooses coefficients",
    "D15": "Formulas and conditions that run code or select a row",
    "D16": "Differencing by missing values, rosters, left-out sites, denials",
    "D17": "Filling the ledger; sybil sites; a poisoned share of support",
}
LISTED = {**A, **D}

# Shown beside what is tested, or instead of it.
_LATER = "comes with its statistics, which do not exist yet"
OPEN = {
    "A10": f"Allele frequencies: {_LATER}.",
    "A11": f"A beacon: {_LATER}.",
    "A15": "Sums and squares are judged answer by answer, with what is left of their tables' totals. Two answers may "
    "differ by T persons or more whose sum, or whose squares, are one person's: the ledger counts persons, not what "
    "they give. Of a masked lmm or elastic net the outcome's squares are tested, not what the terms leave of them.",
    "A18": "A site that invents data within the ring's range moves a masked sum, and nobody sees whose lie it was: "
    "masks leave no site's part to compare. In clear plans every site's signed numbers stand in the record. Medians "
    "and trimmed means over sites do not exist.",
    "A31": "An analysis has a cap over all its rounds. What a researcher and a project get of a dataset in all is "
    "capped where a site sets `numbers_in_all`; by default it is only told: every release's numbers are in the log, "
    "and the ledger bounds what they give about persons together. Over a cap is refused, not shown to people.",
    "A35": "Measured on made histories: no real federation's log was at hand. Volume that grows slowly becomes usual, "
    "and several researchers have several histories.",
    "D09": f"Survival curves and Cox models: {_LATER}.",
    "D11": f"Allele frequencies and learned models: {_LATER}.",
    "D17": "What may be known of a dataset in all is bounded, a fifth of its persons in independent numbers, so an "
    "approved analyst can use it up: then others' new asks are held too. The log says who did.",
}
# Shown only as long as no test records a figure.
WITHOUT_TEST = {
    **dict.fromkeys(("A01", "A02", "A04", "A12", "D16"), "Differencing: no test of its own yet."),
    "D01": "Its tests are those of A01 and A34.",
    "D02": "Its tests are those of A04.",
    "D12": "Its tests are those of A12.",
    **dict.fromkeys(("A05", "A06", "A32", "A34"), "Formal privacy: no test of its own yet."),
    **dict.fromkeys(("A25", "A27", "A29", "A30"), "Covert channels: no test of its own yet."),
    "A28": "Refused asks are logged and nothing is charged for them: no test of its own yet.",
    "A31": "Only typed statistics leave; an analysis has its cap over all rounds and an asker one in all "
    "(tests/node/test_what_left_before.py), with no figure of its own here.",
}


def reasons(tested: set[str]) -> dict[str, str]:
    """Why there is no test, or not a full one, when these have tests."""
    return OPEN | {name: reason for name, reason in WITHOUT_TEST.items() if name not in tested}


def known(name: str) -> str:
    """The identifier in its one form (`A3` and `3` are `A03` and `D03`); ValueError where the list has no such."""
    letter, digits = (name[0], name[1:]) if name[:1].isalpha() else ("D", name)
    found = f"{letter.upper()}{digits:0>2}"
    if found not in LISTED:
        raise ValueError(f"`{name}` is no attack of the list: see tests/attacks/listed.py")
    return found
