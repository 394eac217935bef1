"""One party of MPyC: for each cell, whether beyond each party's own number at least T is left. Run as a program.

    python mpyc_thresholds.py INPUTS.json -M3 -B PORT

INPUTS.json: {"threshold": T, "numbers": one row a party}; a party puts in its own row alone. Prints the bits.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from mpyc.runtime import mpc


async def main() -> None:
    case = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    secint = mpc.SecInt(32)
    async with mpc:
        started = time.perf_counter()
        own = np.array(case["numbers"][mpc.pid])
        rows = mpc.input(secint.array(own))
        total = mpc.np_sum(mpc.np_stack(rows), axis=0)
        passes = None
        for row in rows:
            beyond = total - row >= case["threshold"]
            passes = beyond if passes is None else passes * beyond
        bits = await mpc.output(passes)
        seconds = time.perf_counter() - started
    if mpc.pid == 0:
        print(json.dumps({"bits": [bool(bit) for bit in bits], "seconds": seconds}))


if __name__ == "__main__":
    mpc.run(main())
