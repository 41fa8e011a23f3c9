"""Stream jobs: alerts and metrics over vehicle telemetry, as SQL that runs in Flink's JVM.

Python only composes the text, from tables of rules and figures, and keeps the job running. It runs in an environment of
its own (flink_jobs/.venv), so it imports nothing of ours but pitwall.domain.
"""
