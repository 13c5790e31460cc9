"""``python -m oponm.cli.worker JOB``: one process of a run, started by :mod:`oponm.cli.processes`."""

from __future__ import annotations

import sys
from pathlib import Path

from oponm.cli.lean import import_leanly
from oponm.cli.processes import be_worker

if __name__ == "__main__":
    import_leanly()
    sys.exit(be_worker(Path(sys.argv[1])))
