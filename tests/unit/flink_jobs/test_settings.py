"""Settings: read from file and environment, and refused by name."""

import re
from pathlib import Path

import pytest

from flink_jobs.settings import InvalidSettings, Settings

LEAST = 'kafka_bootstrap = "127.0.0.1:9092"\ncheckpoint_dir = "/data/checkpoints"\n'


def load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "stream-jobs.toml"
    path.write_text(text)
    return Settings.load(path, environment or {})


def test_a_file_needs_no_more_than_kafka_and_a_place_for_checkpoints(tmp_path: Path) -> None:
    settings = load(tmp_path, LEAST)
    assert settings == Settings("127.0.0.1:9092", "/data/checkpoints")
    assert (settings.kafka.bootstrap, settings.kafka.idle_timeout_s) == ("127.0.0.1:9092", 5.0)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    environment = {"PITWALL_STREAM_JOBS__PARALLELISM": "4", "PITWALL_GATEWAY__PARALLELISM": "9", "HOME": "/root"}
    assert load(tmp_path, LEAST + "parallelism = 2", environment).parallelism == 4


def test_a_whole_number_will_do_for_seconds(tmp_path: Path) -> None:
    assert load(tmp_path, LEAST + "idle_timeout_s = 5").idle_timeout_s == 5.0


@pytest.mark.parametrize(
    ("given", "local_dir", "url", "local_folder"),
    [
        ("/data/checkpoints", "", "file:///data/checkpoints", "/data/checkpoints"),
        ("/data/checkpoints", "/plans", "file:///data/checkpoints", "/plans"),
        ("s3://site-1.state/flink", "/plans", "s3://site-1.state/flink", "/plans"),
        ("s3://site/a/b/", "/plans", "s3://site/a/b", "/plans"),
    ],
)
def test_checkpoints_lie_in_a_folder_or_in_s3(given: str, local_dir: str, url: str, local_folder: str) -> None:
    settings = Settings("127.0.0.1:9092", given, local_dir=local_dir)
    assert (settings.checkpoint_url, settings.local_folder) == (url, Path(local_folder))


@pytest.mark.parametrize(
    ("checkpoint_dir", "local_dir", "says"),
    [
        ("s3://bucket/flink", "", "local_dir: is missing; with checkpoint_dir in S3"),
        ("s3://bucket/flink", "plans", "local_dir: 'plans' must be an absolute path"),
        ("s3://bucket", "/plans", "checkpoint_dir: 's3://bucket' must be s3://bucket/prefix"),
        ("s3:///flink", "/plans", "must be s3://bucket/prefix, or an absolute path"),
        ("s3://bucket/a?b", "/plans", "must be s3://bucket/prefix"),
        ("hdfs://name/flink", "/plans", "checkpoint_dir: 'hdfs://name/flink' must be s3://bucket/prefix"),
    ],
)
def test_a_wrong_place_for_checkpoints_is_named(checkpoint_dir: str, local_dir: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=re.escape(says)):
        Settings("127.0.0.1:9092", checkpoint_dir, local_dir=local_dir)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("paralellism = 2", 'unknown key "paralellism"; did you mean "parallelism"?', id="unknown key"),
        pytest.param("parallelism = 2.5", "parallelism: 2.5 is no whole number", id="half a task"),
        pytest.param("parallelism = true", "parallelism: True is no whole number", id="a truth for a number"),
        pytest.param('parallelism = "many"', "parallelism: 'many' is no whole number", id="a word for a number"),
        pytest.param("parallelism = 0", "parallelism: 0 is not within 1 to 128", id="no task"),
        pytest.param("name = 7", "name: 7 is no text", id="a number for a name"),
        pytest.param('name = ""', "name: must not be empty", id="no name"),
        pytest.param('flink_address = "localhost"', "flink_address: 'localhost' must be host:port", id="no port"),
        pytest.param('metrics_address = ":9473"', "metrics_address: ':9473' must be host:port", id="no host"),
        pytest.param("checkpoint_interval_s = 0.1", "checkpoint_interval_s: 0.1 is not within", id="too often"),
        pytest.param("checkpoint_interval_s = 91", "is not within 0.5 to 90", id="too near the end of a transaction"),
        pytest.param("idle_timeout_s = nan", "idle_timeout_s: nan is not within", id="no number"),
        pytest.param("restart_attempts = 0", "restart_attempts: 0 is not within", id="no attempt"),
        pytest.param("restart_window_s = 0", "restart_window_s: 0 is not within", id="no window"),
        pytest.param("restart_delay_s = 0", "restart_delay_s: 0 is not within", id="no delay"),
        pytest.param("this is not TOML", "stream-jobs.toml: ", id="no TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        load(tmp_path, LEAST + text)
    assert says in str(refused.value)
    assert str(tmp_path / "stream-jobs.toml") in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('checkpoint_dir = "/data"', "kafka_bootstrap: is missing"),
        ('kafka_bootstrap = "h:1"', "checkpoint_dir: is missing"),
        ('kafka_bootstrap = "h:1,h2"\ncheckpoint_dir = "/data"', "kafka_bootstrap: 'h2' must be host:port"),
        ('kafka_bootstrap = "h:1"\ncheckpoint_dir = "data"', "checkpoint_dir: 'data' must be an absolute path"),
    ],
)
def test_what_it_cannot_do_without(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"missing\.toml"):
        Settings.load(tmp_path / "missing.toml", {})
