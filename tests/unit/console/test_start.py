"""A stop starts at once: nothing is loaded that it doesn't need."""

import subprocess
import sys

import pytest

NOT_FOR_A_STOP = ("rich", "cryptography", "jwt", "confluent_kafka", "opentelemetry", "structlog")


@pytest.mark.parametrize("module", NOT_FOR_A_STOP)
def test_a_stop_does_without(loaded: set[str], module: str) -> None:
    assert module not in loaded


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Top-level names of what `pitwall stop` has loaded when it comes to look for its token."""
    program = (
        "import sys; from console.__main__ import run; "
        "run(['stop', 'KOMATSU-930E-001', '--ca', '/nowhere']); import console.stop; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "no certificate authority" in done.stderr
    return set(done.stdout.split())
