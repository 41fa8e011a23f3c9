"""Which kept plan is the right one."""

from pathlib import Path

import pytest

from flink_jobs import plans

SETTINGS = {"parallelism.default": "1", "rest.port": "8081"}


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "a.jar"
    path.write_bytes(b"classes")
    return path


def test_the_same_job_has_the_same_plan(tmp_path: Path, jar: Path) -> None:
    first = plans.place(tmp_path, "0123", "SELECT 1", SETTINGS, [jar])
    again = plans.place(tmp_path, "0123", "SELECT 1", dict(reversed(SETTINGS.items())), [jar])
    assert first == again
    assert first.parent == tmp_path / "plans"


@pytest.mark.parametrize("changed", ["sql", "settings", "jar"])
def test_whatever_changes_it_gets_another(tmp_path: Path, jar: Path, changed: str) -> None:
    before = plans.place(tmp_path, "0123", "SELECT 1", SETTINGS, [jar])
    if changed == "jar":
        jar.write_bytes(b"other classes")
    sql = "SELECT 2" if changed == "sql" else "SELECT 1"
    settings = SETTINGS | {"parallelism.default": "2"} if changed == "settings" else SETTINGS
    assert plans.place(tmp_path, "0123", sql, settings, [jar]) != before


def test_a_plan_is_there_once_it_is_whole_and_replaces_the_one_before_it(tmp_path: Path) -> None:
    old, new, others = (tmp_path / "plans" / name for name in ("0123.old", "0123.new", "4567.old"))
    for plan in (old, others, new):
        written = plans.begin(plan)
        written.write_bytes(b"graph")
        assert not plan.exists()
        plans.finish(written, plan)
    assert sorted(tmp_path.glob("plans/*")) == [new, others]


def test_plans_of_versions_that_are_not_kept_go(tmp_path: Path) -> None:
    for name in ("0123.a", "4567.a", ".4567.b"):
        plans.begin(tmp_path / "plans" / name)
        (tmp_path / "plans" / name).touch()
    plans.remove_old(tmp_path, {"0123"})
    assert [path.name for path in tmp_path.glob("plans/*")] == ["0123.a"]
    plans.remove_old(tmp_path / "nothing", ())
