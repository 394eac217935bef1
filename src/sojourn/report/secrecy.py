"""What each party learns of a masked analysis, in the words that stand beside its result."""

from __future__ import annotations

from collections.abc import Sequence

NOT_BY_SITE = (
    "Only sums over all sites exist of a masked plan, so that there is no n by site, no site's own estimate and no "
    "heterogeneity between sites."
)
NOT_BY_SITE_REMEDY = "Ask with `aggregation: clear`, where each site's own rules let its numbers leave."


def learned_of_pairs(sites: Sequence[str], evaluators: Sequence[str]) -> tuple[str, ...]:
    """As `learned`, of an overlap."""
    needed = (len(evaluators) + 1) // 2
    who = f"{', '.join(evaluators[:-1])} and {evaluators[-1]}"
    return (
        "The hub, the analyst and every site see the numbers that are told, and of no pair whom they are of. Of a pair "
        "that is not released nobody sees whether few are in common, or few of a site are not, or a site put in "
        "nobody.",
        "A third site compared the lists of each pair, all of one length and under both sites' keys. It sees the "
        "number only with up to 1,000 made-up persons that the two added; if it lied in the joint test, it could learn "
        "the number, and still not whom.",
        "A site of a pair that put in persons of its choice learns how many of them the other one has, if the number "
        "is told; together with the third site it could learn which of them.",
        f"Whether numbers are told was computed by {who} on secret shares. {needed} of these sites together could have "
        "opened what every site put in; the hub could not.",
        f"That a site is one of these {len(sites)} says nothing of its data: one without any, or that refuses, sends "
        "lists of nobody that look the same. With whom its custodian agreed is said openly.",
    )


def learned(sites: Sequence[str], evaluators: Sequence[str], answered: bool, k: int = 0) -> tuple[str, ...]:
    """Sentences for the reader. evaluators: the sites that computed the joint test. answered: whether it passed.

    k: what totals were compared with, which then do not exist; 0 where they do.
    """
    needed = (len(evaluators) + 1) // 2
    who = f"{', '.join(evaluators[:-1])} and {evaluators[-1]}"
    passed = (
        "What is shown rests, without any one site's part, on at least as many persons as the strictest site demands. "
        "A site can take its own part from a sum, and knows no more of the others than that."
        if answered
        else "No sum was shown. The reason that is given is all that was learned, and not of which site it holds."
    )
    over = f"over {len(sites)} sites"
    told = f"the sums {over} and which numbers may be shown"
    if k:
        told = f"whether each total {over} that may be shown reaches {k}"
    return (
        NOT_BY_SITE,
        f"The hub, the analyst and every site see {told}; of what a site sent each sees random numbers only.",
        passed,
        f"Whether numbers pass was computed by {who} on secret shares. {needed} of these sites together could have "
        "opened what every site put in; the hub could not.",
        "That a site took part says nothing of its data: one without any, or that refuses, sends zeros that look the "
        "same.",
    )
