"""Every life: every state is reached, every end is an end, every transition has an owner."""

from __future__ import annotations

import pytest

from sojourn.audit.lifecycle import Lifecycle
from sojourn.disclosure.review import REVIEW
from sojourn.errors import StudyFailed
from sojourn.study.lifecycle import SITE, STUDY, move

LIVES = pytest.mark.parametrize("life", [STUDY, SITE, REVIEW], ids=lambda life: life.name)


@LIVES
def test_every_state_is_reachable(life: Lifecycle) -> None:
    reached, new = set(), {life.initial}
    while new:
        reached |= new
        new = {after for state in new for after in life.transitions.get(state, {}).values()} - reached
    assert reached == set(life.states)


@LIVES
def test_terminal_states_are_declared_and_end(life: Lifecycle) -> None:
    assert life.terminal == {state for state in life.states if not life.transitions.get(state)}


@LIVES
def test_every_event_has_an_owner_and_every_owner_an_event(life: Lifecycle) -> None:
    events = {event for events in life.transitions.values() for event in events}
    assert events == set(life.owners)
    assert all(life.owners.values())


@LIVES
def test_only_declared_moves_are_made_and_only_by_their_owners(life: Lifecycle) -> None:
    for state in life.states:
        for event, owners in life.owners.items():
            after = life.transitions.get(state, {}).get(event)
            if after is None:
                with pytest.raises(life.error):
                    life.move(state, event)
            else:
                assert [life.move(state, event, who) for who in owners] == [after] * len(owners)
                with pytest.raises(life.error, match="may not"):
                    life.move(state, event, "stranger")


def test_states() -> None:
    assert STUDY.states == ("submitted", "running", "failed", "cancelled", "completed")
    assert set(SITE.states) == {"waiting", "working", "contributed", "not released", "no answer"}
    assert move("submitted", "start") == "running"
    with pytest.raises(StudyFailed, match="submit the plan again"):
        move("completed", "cancel")
    with pytest.raises(StudyFailed):
        move("unheard of", "start")


@LIVES
def test_the_diagram_draws_every_transition(life: Lifecycle) -> None:
    lines = life.diagram().splitlines()
    arrows = [line for line in lines if " : " in line]
    assert lines[0] == "stateDiagram-v2"
    assert len(arrows) == sum(len(events) for events in life.transitions.values())
    assert sum(line.endswith("--> [*]") for line in lines) == len(life.terminal)
