"""One further program of a hub (the setting `workers`): `python -m sojourn.hub.worker HOME SOCKET`."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from sojourn import __version__
from sojourn.hub.config import HubHome
from sojourn.hub.program import open_hub, serve_hub
from sojourn.operations.logs import open_log, take_over
from sojourn.wire.serving import settle_process


def main(folder: str, listener: str) -> None:
    """Serve the hub beside its program, on the inherited socket of this number, until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal tells all; the program that started this one ends it
        signal.signal(number, signal.SIG_IGN)
    settle_process()
    home = HubHome.load(Path(folder))
    log = open_log("hub", "json", home.log_level)
    take_over(log)
    hub = open_hub(home)
    hub.tell(log)
    server = serve_hub(home, hub, socket.socket(fileno=int(listener)))
    hub.start()
    server.start()
    log.info("program.started", own=__version__)
    sys.stdin.buffer.read()
    hub.bell.close()
    server.stop()
    hub.close()
    log.info("program.ended")


if __name__ == "__main__":
    main(*sys.argv[1:])
