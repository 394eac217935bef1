"""The lives of a study and of one site's part in it: two dicts each, which state follows and who may move it."""

from __future__ import annotations

from types import MappingProxyType

from sojourn.audit.lifecycle import Lifecycle

STUDY = Lifecycle(
    name="study",
    initial="submitted",
    terminal=frozenset({"completed", "failed", "cancelled"}),
    transitions=MappingProxyType(
        {
            "submitted": {"start": "running", "fail": "failed", "cancel": "cancelled"},
            "running": {"complete": "completed", "fail": "failed", "cancel": "cancelled"},
        }
    ),
    owners=MappingProxyType(
        {
            "start": ("hub",),
            "complete": ("hub",),
            "fail": ("hub",),
            "cancel": ("researcher", "hub"),
        }
    ),
)

SITE = Lifecycle(
    name="site's part",
    initial="waiting",
    terminal=frozenset({"contributed", "not released", "no answer"}),
    transitions=MappingProxyType(
        {
            "waiting": {"take": "working", "withhold": "not released", "give up": "no answer"},
            "working": {"contribute": "contributed", "withhold": "not released", "give up": "no answer"},
        }
    ),
    owners=MappingProxyType(
        {
            "take": ("node",),
            "contribute": ("node",),
            "withhold": ("node", "custodian"),
            "give up": ("hub",),
        }
    ),
)


def move(state: str, event: str) -> str:
    """The state of a study after an event; StudyFailed where it cannot happen then."""
    return STUDY.move(state, event)
