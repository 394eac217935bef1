"""What a site's checkers have taught its model of risk so far, and what the model looks at."""

from __future__ import annotations

from sojourn.disclosure.output import Finding, Output
from sojourn.disclosure.risk import LEAST, Model, features, train
from sojourn.node.decisions import Place
from sojourn.node.review_store import ReviewStore


class Learning:
    """One node's model, trained again with each decision."""

    def __init__(self, reviews: ReviewStore) -> None:
        self._reviews = reviews
        self._learnt: dict[int, Model | None] = {}

    def model(self) -> Model | None:
        """What was learnt; None where there is too little to learn from."""
        number = self._reviews.decided()
        if number < 2 * LEAST:
            return None
        if number not in self._learnt:
            self._learnt.clear()
            self._learnt[number] = train(self._reviews.decisions())
        return self._learnt[number]

    def features(self, place: Place, output: Output, finding: Finding) -> dict[str, float]:
        """What the model looks at: of the output, the request and its researcher's history."""
        row = self._reviews.store.run(place.run.request.study)
        past = self._reviews.past("" if row is None else str(row["researcher"]))
        return features(output, finding, past)
