"""Work that is killed with SIGKILL loses nothing; `python -m tests.faults.kill` tries many more times."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_is_killed_loses_nothing(tmp_path: Path) -> None:
    """Runs in a separate process, because forked processes must not inherit threads that other tests have started."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.faults.kill", "--times", "1"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
