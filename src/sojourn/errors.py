"""Every error of Sojourn, each with a remedy; and the fixed list of reasons that may cross a site's border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class SojournError(Exception):
    """Base of all errors that a user sees. `remedy` says what to do next."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{super().__str__()} Remedy: {self.remedy}"


class PlanError(SojournError):
    """A plan that is not valid; `field` names the place, e.g. `analyses.model.glm.formula`."""

    def __init__(self, message: str, *, remedy: str, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message, remedy=remedy)
        self.field = field


class FormulaError(PlanError):
    """A formula outside our grammar."""


class WhereError(PlanError):
    """A `where` outside our grammar."""


class IdentityError(SojournError):
    """A key, signature or token that does not hold."""


class EnvelopeRefused(IdentityError):
    """A signed request that a node or hub does not accept; `reason` is a word of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason].sentence, remedy=REASONS[reason].remedy)
        self.reason = reason


class DisclosureRefused(SojournError):
    """A whole answer that may not leave a site; `family` is a word of `REASONS`."""

    def __init__(self, family: str, message: str = "") -> None:
        super().__init__(message or REASONS[family].sentence, remedy=REASONS[family].remedy)
        self.family = family


class ReviewError(SojournError):
    """A word on a held output that cannot be taken: of nobody who may check it, or too late."""


class SiteRefused(SojournError):
    """A node did not do what it was asked; all that leaves it is `reason`, a word of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason].sentence, remedy=REASONS[reason].remedy)
        self.reason = reason


class TooFewSites(SojournError):
    """Fewer sites released than the plan's minimum."""


class DroppedOut(SojournError):
    """A masked sum that does not exist, because a site of its roster did not take part to the end."""


class ConvergenceError(SojournError):
    """An estimate that does not exist or was not reached, e.g. under separation."""


class DatasetError(SojournError):
    """A dataset, dictionary or file at a site that cannot be used."""


class HarmonisationError(SojournError):
    """A plan, file or vocabulary from which no common data model can be made. It names no value of a record."""


class FileRefused(SojournError):
    """A file that cannot be examined, so may not leave: damaged, encrypted, too large, of a kind that never leaves."""


class SandboxUnavailable(SojournError):
    """No sealed environment can be had, and the custodian did not configure to go without."""


class StudyFailed(SojournError):
    """A study that ended without the answer that was asked for."""


class TransportError(SojournError):
    """The other side could not be reached, or did not prove who it is."""


class AuditError(SojournError):
    """A log that does not verify, or an action that would leave no trace."""


class ConfigurationError(SojournError):
    """A setting, home or file that a program cannot work with."""


UNKNOWN_WORD = "unknown word"  # said of a reason that is none of `REASONS` here


@dataclass(frozen=True)
class Reason:
    """One of the few sentences that a site may say about a refusal."""

    sentence: str
    remedy: str


REASONS: Mapping[str, Reason] = MappingProxyType(
    {
        # families of disclosure rules
        "minimum frequency": Reason(
            "Too few persons stand behind a number.",
            "Merge categories, widen the population or drop a dimension, and submit again.",
        ),
        "differencing": Reason(
            "The answer, together with others that may be known, could tell about few persons.",
            "Keep to one population in all plans, or ask about sets that differ by many persons; where nothing was "
            "asked before, merge rare levels, or ask for fewer columns at once.",
        ),
        "class disclosure": Reason(
            "All persons of a group share one category or value.",
            "Merge the groups, or leave the variable that splits them out.",
        ),
        "dominance": Reason(
            "One or two persons make up most of a sum, of one over a level, or of the squares about a mean.",
            "Widen the group, merge or drop a rare level, use a bounded or transformed variable, or ask for quantiles.",
        ),
        "residual freedom": Reason(
            "The model leaves too few residual degrees of freedom.",
            "Use fewer terms or a larger population.",
        ),
        "design support": Reason(
            "A variable does not vary, or too few persons stand behind a level, a pair of levels or a coefficient.",
            "Merge or drop a rare level, look for an extreme value or a unit error, leave the term out, or widen the "
            "population.",
        ),
        "events": Reason(
            "Too few persons differ in the outcome: too few events, or too few non-events, for this many terms.",
            "Use fewer terms, an outcome that varies more, or a larger population.",
        ),
        "parameters to observations": Reason(
            "The model has too many terms for the number of persons.",
            "Use fewer terms or a larger population.",
        ),
        "histogram": Reason(
            "A bin holds too few persons.",
            "Declare wider bins.",
        ),
        "positions": Reason(
            "A quantile, minimum or maximum is the value of one or a few persons.",
            "Ask for the median or the quartiles, or of a larger group.",
        ),
        "survival steps": Reason(
            "Too few persons have the event or leave between two steps of the curve, or too few remain.",
            "Declare a coarser grid of times, or end the curve earlier.",
        ),
        "risk sets": Reason(
            "Too few persons leave between two times of the model, or the times are not of the declared grid.",
            "Declare a coarser grid of times.",
        ),
        "correlation": Reason(
            "Too few persons stand behind a pair of columns or a group, or too much is asked of made-up columns.",
            "Ask for fewer columns, merge rare groups, or widen the population.",
        ),
        "rounding": Reason(
            "The site demands rounded counts, and a count is not rounded.",
            "Report this to the people who run the federation: a site's software and its settings disagree.",
        ),
        "comparison": Reason(
            "The number to compare with is none that these sites tell of, as a search could then tell of few persons.",
            "Give a multiple of the smallest of 10, 20, 40, 80 and so on that is not below the sites' threshold.",
        ),
        "by site": Reason(
            "Single sites' estimates have no joint test, nor have sums by weights: clear plans alone have them.",
            "Set `aggregation: clear`, use `combine: pooled`, or leave `weights` out.",
        ),
        "geography": Reason(
            "An area has too few inhabitants to be told apart.",
            "Use larger areas, or leave the area out.",
        ),
        "text": Reason(
            "A label is not one of the declared levels.",
            "Declare the levels in the plan as the dictionary has them.",
        ),
        "capacity": Reason(
            "The analysis would carry out more numbers, or more digits, than it may.",
            "Ask for fewer cells, terms or rounds.",
        ),
        "formal privacy": Reason(
            "This site answers under formal privacy, and what is asked has no certified mechanism there.",
            "Ask for counts, contingency tables, histograms, or `describe` and `quantiles` of columns with declared "
            "bounds. Custodians declare bounds, and the most rows of a person, in the dictionary.",
        ),
        "privacy budget": Reason(
            "What is asked would give away more than the site's budget of formal privacy allows, or is close to it.",
            "Use answers that you have: an equal question costs nothing more. The custodian decides on budgets.",
        ),
        "output schema": Reason(
            "The output is not of the declared form.",
            "Report this to the people who run the federation: a site's software and the plan disagree.",
        ),
        "file": Reason(
            "The file is damaged, hides something or is of a kind that never leaves.",
            "Give tables as CSV or JSON; figures are drawn from cleared tables after their release.",
        ),
        "attempts": Reason(
            "Too many asks of this dataset were refused or failed, so that more would tell by failing.",
            "Wait, or ask the custodian, who sees what was refused; mend the plans before they are asked again.",
        ),
        "unusual": Reason(
            "What this researcher asked of the site lately is unusual, and the custodian has not looked at it yet.",
            "Ask the custodian, who sees what was unusual and clears it: `sojourn airlock clear`; then submit again.",
        ),
        "check failed": Reason(
            "A disclosure check could not be completed, which is a refusal.",
            "Ask the custodian, whose log holds the details.",
        ),
        "review": Reason(
            "The people who check outputs at the site did not let it leave.",
            "Ask the custodian what would pass; merge categories, leave a dimension out or widen the population.",
        ),
        "in review": Reason(
            "The site's checkers had not decided when the study no longer waited.",
            "Submit again with `stragglers: wait`, and tell the custodian that a review is waiting.",
        ),
        "would be held": Reason(
            "In a study, a checker of the site would have to see this output before it may leave.",
            "Submit it and wait for the checker, or ask for fewer dimensions.",
        ),
        # data
        "dictionary": Reason(
            "The data hold values that the approved dictionary does not declare, or the plan and dictionary disagree.",
            "Compare the plan's variables with the site's published dictionary, or ask the custodian to review it.",
        ),
        "no table": Reason(
            "The site has no dataset of that name for this project.",
            "Choose the sites that publish this table, or ask the custodian to add and approve it.",
        ),
        "no stand-in": Reason(
            "The site has no synthetic stand-in of this dataset to rehearse on.",
            "Ask the custodian, whose journal holds the details.",
        ),
        # admission
        "not approved": Reason(
            "The site has not approved this researcher's key for this project.",
            "Send your public key to the custodian, who runs `sojourn node approve PROJECT --key FILE`.",
        ),
        "signature": Reason(
            "The request is not signed as it must be.",
            "Submit the plan again with your own key; if it happens again, report it: someone may have altered it.",
        ),
        "malformed": Reason(
            "The request cannot be read.",
            "Use the same minor version of Sojourn as the federation, and submit again.",
        ),
        "expired": Reason("The request has expired.", "Submit the plan again."),
        "clock": Reason(
            "The request was issued in the future by this site's clock.",
            "Set the clock of your machine (and of the site) by a time server, and submit again.",
        ),
        "replayed": Reason("This request was already used.", "Submit the plan again: each submission is new."),
        "roster": Reason(
            "This site is not among the sites that the researcher signed, or is there under another key.",
            "Fetch the federation's sites again and submit again.",
        ),
        "minimum sites": Reason(
            "The plan has fewer sites than this site demands.",
            "Submit to more sites, or raise `min_sites` in the plan to what the site demands.",
        ),
        "lifetime": Reason(
            "The request asks to be valid for longer than a site allows.",
            "Let requests live 24 hours at most.",
        ),
        "policy version": Reason(
            "The request was made for another version of the policy than this site's.",
            "Fetch the federation's policy again and submit again.",
        ),
        "masked aggregation": Reason(
            "This site takes no part in masked plans.",
            "Set `aggregation: clear`, or ask other sites.",
        ),
        "masking required": Reason(
            "This site answers masked plans only.",
            "Set `aggregation: masked`, or `auto`.",
        ),
        "not pinned": Reason(
            "The custodian has not pinned every site of this masked plan, or one has another key than the pinned one.",
            "Ask the custodian to compare keys with the other sites and run `sojourn node pin SITE KEY` for each.",
        ),
        "roster differs": Reason(
            "The masked plan is for other sites than those with which this one was summed before.",
            "Ask the same sites as in the earlier masked studies of this dataset.",
        ),
        "dropped out": Reason(
            "A site of a masked plan did not take part to the end, and without it there is no sum.",
            "Submit again when all can be reached; without the one that dropped out only if none was summed before.",
        ),
        "a site's gate": Reason(
            "A site's rules refused in the middle of a masked analysis; nobody knows which site's.",
            "Where another masked study of this table ran at the same time, submit again after it; else use fewer "
            "terms, merge rare levels, or widen the population.",
        ),
        "joint frequency": Reason(
            "Beyond any single site too few persons stand behind the sum over all sites, behind a level or event of "
            "its model, or behind what it differs by from an earlier sum.",
            "Widen the population, use fewer terms, or ask exactly what was summed before. A site that withdrew counts "
            "as a difference: keep it in the roster, and ask again when the others have as many new persons. "
            "After many sums of a dataset no new cross of what was told passes: ask for large models first.",
        ),
        "joint test": Reason(
            "The sites could not agree on what to test before adding, or the test would be too large.",
            "Ask for fewer cells; if it happens again, report it to the custodians.",
        ),
        "missing by analysis": Reason(
            "`missing: by analysis` is not available in this version.",
            "Set `missing: complete`.",
        ),
        "plan": Reason("The plan is not valid.", "Run `sojourn study check PLAN` and mend what it names."),
        # rounds
        "broadcast": Reason(
            "The hub's broadcast does not follow from what the sites released.",
            "Report this to all custodians: the hub may be faulty or hostile. Nothing was computed.",
        ),
        "rounds": Reason(
            "The analysis asked for more rounds than it declared.",
            "Simplify the model; if it does not converge, look for separation or collinear terms.",
        ),
        "revoked": Reason("The custodian has withdrawn the approval.", "Ask the custodian."),
        "cancelled": Reason("The study was cancelled.", "Submit it again if it is still needed."),
        # running
        "no sandbox": Reason(
            "The site has no sealed environment to run in.",
            "The custodian installs bubblewrap, or configures `sandbox: none` and takes the responsibility.",
        ),
        "no space": Reason(
            "The site has no disk space left to compute in.",
            "Ask the custodian to make room in the node's home, then submit again.",
        ),
        "worker": Reason(
            "The computation ended without an answer.",
            "Ask the custodian, whose log holds the details.",
        ),
        "time": Reason("The computation took longer than the site allows.", "Use a smaller model or population."),
        "unknown word": Reason(
            "The site refused for a reason that this program has no word for: the site's software is newer.",
            "Ask the custodian for the reason; upgrade the hub, or your own Sojourn, to the site's version.",
        ),
        "internal": Reason(
            "The site could not complete the request.",
            "Ask the custodian, whose log holds the details.",
        ),
        "no answer": Reason(
            "The site did not answer in time.",
            "Ask the custodian whether the node is running, or submit again with `stragglers: wait`.",
        ),
    }
)
