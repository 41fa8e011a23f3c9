"""A machine of empty files, on which everything that the stack looks for is installed."""

from pathlib import Path

from deploy.local.tools import Tools

JAVA = "usr/lib/jvm/java-17-openjdk-amd64"
POSTGRES = "usr/lib/postgresql/15/bin"
KAFKA = "checkout/deploy/local/kafka/target/libs/kafka_2.13-4.3.1.jar"
FLINK = "checkout/flink_jobs/.venv/lib/python3.11/site-packages/pyflink"
REDIS = "usr/bin/redis-check-rdb"

FILES = {
    f"{JAVA}/bin/java": "",
    f"{JAVA}/release": 'IMPLEMENTOR="Debian"\nJAVA_VERSION="17.0.15"\n',
    f"{POSTGRES}/initdb": "",
    KAFKA: "",
    f"{FLINK}/bin/jobmanager.sh": "",
    "checkout/flink_jobs/.venv/bin/python": "",
    "checkout/flink_jobs/target/pitwall-flink.jar": "",
    f"{FLINK}/conf/config.yaml": "env:\n  java:\n    opts:\n      all: --add-exports=a/b=ALL-UNNAMED\n",
    REDIS: "",
}


def machine(root: Path, *, without: str | None = None) -> Tools:
    """Its tools; ``without`` leaves out whatever lies below that path."""
    for name, text in FILES.items():
        if without is None or not name.startswith(without):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
    return Tools({"PATH": str(root / "usr/bin")}, root, root / "checkout")
