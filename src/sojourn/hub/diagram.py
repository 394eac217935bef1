"""The live federation as a picture: data staying, analysis going out, releases coming back."""

from __future__ import annotations

from sojourn.hub.service import Hub


def diagram(hub: Hub) -> str:
    """Mermaid text of the sites that have joined, their published tables and the studies in hand."""
    lines = ["flowchart LR", "  analyst([analyst]) -- signed plan --> hub{{hub<br/>sees no records}}"]
    for number, view in enumerate(hub.site_views()):
        tables = ", ".join(str(data["table"]) for data in view.datasets) or "nothing published"
        state = "connected" if view.online else "not connected"
        lines += [
            f"  subgraph site{number}[{view.site} — {state}]",
            f"    node{number}[node] --- data{number}[({tables}<br/>stays here)]",
            "  end",
            f"  hub -. analysis .-> node{number}",
            f"  node{number} == releases ==> hub",
        ]
    lines.append(f"  hub -- results --> analyst\n  %% studies running: {len(hub.store.live_studies())}")
    return "\n".join(lines)
