"""What a site demands of its own rows before it adds to sums of imputed sets, as in a clear plan.

What two sets' sums differ by is a sum over those who lack a value, weighed by how far apart the two draws are. How few
these weights leave depends on what each site drew, of which a joint test knows nothing. So each site judges its own
part: then beyond each other site at least as many persons stand behind a difference as behind that of any one site
that has any, since (sum a_i)^2 / sum q_i >= T where a_i^2 / q_i >= T for each site i.
"""

from __future__ import annotations

from dataclasses import replace

from pyroaring import BitMap

from sojourn.analysis.support import Drawn, Support
from sojourn.analysis.variable import is_of_indicator
from sojourn.disclosure.differencing import Bounds, find
from sojourn.disclosure.known import Known
from sojourn.disclosure.ledger import charges
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused


def demand_apart(support: Support, parameters: Parameters, threshold: int) -> None:
    """DisclosureRefused where the draws of this site alone tell too much. threshold: the greatest T of all sites."""
    drawn = None if support.design is None else support.design.drawn
    if drawn is None or drawn.lacking is None:
        return
    least = max(parameters.threshold, threshold)
    told = _enough(drawn, least) and _fitted(drawn, parameters) and _shared(drawn, parameters)
    if not told or _shown(support, least):
        raise DisclosureRefused("design support")


def _enough(drawn: Drawn, least: int) -> bool:
    """Whether each difference of two sets rests on T persons, and each of the independent ones has its own."""
    sizes = [size for size in (drawn.lacking, drawn.effective, drawn.levels) if size is not None]
    return all(size >= least for size in sizes)  # not so of what is no number


def _fitted(drawn: Drawn, parameters: Parameters) -> bool:
    """Whether the widest model that values are drawn from follows from enough persons."""
    free = drawn.persons - drawn.parameters >= parameters.residual
    return free and drawn.parameters <= parameters.observations * drawn.persons


def _shared(drawn: Drawn, parameters: Parameters) -> bool:
    """Whether nothing by which sums differ is one or two persons': as of a sum by dominance and p percent."""
    return 100 * drawn.share <= min(parameters.dominance_k, 100 - parameters.p_percent)  # not so of what is no number


def _shown(support: Support, least: int) -> bool:
    """Whether the levels that the sets drew for those who lack a value tell, beside one another, of few persons."""
    assert support.design is not None
    lacking = {label: who for label, who in support.design.levels.items() if _of_lacking(label)}
    alone = replace(support.design, levels=lacking)
    sets = Support(BitMap(), support.measures, design=alone)
    return bool(find(Known(), Known().plus(charges("", "", sets)), "", Bounds(least))[0])


def _of_lacking(label: str) -> bool:
    return any(is_of_indicator(part) and part.endswith(")=True") for part in label.split(" & "))
