"""The exchange keys that sites published, as one masked study uses them to its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from sojourn.errors import IdentityError, StudyFailed
from sojourn.hub.store import HubStore
from sojourn.hub.tables import sites
from sojourn.identity.envelope import Request
from sojourn.messages import Stated
from sojourn.secrecy import exchange as exchange_keys
from sojourn.study.circle import Circle


def exchange_of(store: HubStore, request: Request, federation: str) -> str | None:
    """JSON of what every site of a masked request stated; None for a clear one. StudyFailed where a site did not."""
    if request.plan.get("aggregation") != "masked":
        return None
    rows = store.rows(select(sites.c.name, sites.c.published).where(sites.c.name.in_(list(request.roster))))
    published = {row["name"]: json.loads(row["published"])["rules"].get("exchange") for row in rows}
    stated: dict[str, Stated] = {}
    for site in request.roster:
        try:
            stated[site] = Stated.model_validate(published.get(site))
        except ValidationError as error:
            raise StudyFailed(
                f"{site} publishes no exchange key, so that it cannot take part in a masked plan.",
                remedy="Ask its custodian to upgrade and start the node, or leave the site out.",
            ) from error
    try:
        Circle.of(request.roster, _words(stated), federation)
    except (IdentityError, ValueError) as error:
        raise StudyFailed(
            "An exchange key is not stated by the site that published it.",
            remedy="Ask the custodians to restart their nodes, and report it if it happens again.",
        ) from error
    return json.dumps({site: word.model_dump() for site, word in sorted(stated.items())})


@lru_cache(maxsize=256)
def _stated(document: str) -> dict[str, Stated]:
    return {site: Stated.model_validate(word) for site, word in json.loads(document).items()}


def stated_in(document: str | None) -> dict[str, Stated] | None:
    """What a study's row holds of its sites' exchange keys."""
    return None if document is None else dict(_stated(document))


def circle_of(request: Request, document: str | None) -> Circle | None:
    """The circle of a masked study, verified when it was submitted; None of a clear one."""
    if document is None:
        return None
    return Circle({site: (request.roster[site], word.key) for site, word in _stated(document).items()})


def _words(stated: Mapping[str, Any]) -> dict[str, exchange_keys.Stated]:
    return {site: exchange_keys.Stated(site, word.key, bytes.fromhex(word.signature)) for site, word in stated.items()}
