"""The life of something that several parties move: two dicts, which state follows and who may cause it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import SojournError, StudyFailed


@dataclass(frozen=True)
class Lifecycle:
    """States from `initial` to one of `terminal`.

    transitions: state -> event -> next state. owners: event -> who may cause it. again: what to do after its end.
    error: what a move raises that cannot be.
    """

    name: str
    initial: str
    terminal: frozenset[str]
    transitions: Mapping[str, Mapping[str, str]]
    owners: Mapping[str, tuple[str, ...]]
    again: str = "It has ended: submit the plan again."
    error: type[SojournError] = StudyFailed

    @property
    def states(self) -> tuple[str, ...]:
        """Every state, the initial one first."""
        following = (after for events in self.transitions.values() for after in events.values())
        return tuple(dict.fromkeys([self.initial, *self.transitions, *following]))

    def move(self, state: str, event: str, who: str | None = None) -> str:
        """The state after an event; the life's error where it cannot happen then, or `who` may not cause it."""
        allowed = self.transitions.get(state, {})
        if state not in self.states or event not in allowed:
            remedy = self.again if state in self.terminal else did_you_mean(event, allowed)
            raise self.error(f"`{event}` cannot happen to a {self.name} that is {state}.", remedy=remedy)
        if who is not None and who not in self.owners[event]:
            raise self.error(f"A {who} may not `{event}` a {self.name}.", remedy=f"Ask the {self.owners[event][0]}.")
        return allowed[event]

    def diagram(self) -> str:
        """A Mermaid state diagram, for the documentation."""

        def word(state: str) -> str:
            return state.replace(" ", "_")

        lines = ["stateDiagram-v2", f"    [*] --> {word(self.initial)}"]
        lines += [f'    state "{state}" as {word(state)}' for state in self.states if word(state) != state]
        for state, events in self.transitions.items():
            for event, after in events.items():
                lines.append(f"    {word(state)} --> {word(after)} : {event} ({' or '.join(self.owners[event])})")
        lines += [f"    {word(state)} --> [*]" for state in self.states if state in self.terminal]
        return "\n".join(lines) + "\n"
