"""`python -m tests.bench.telemetry`: one gateway process under load, beside a bare producer of the same records."""
