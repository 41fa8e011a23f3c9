"""Names under which state is kept: the same while the state is, and others where it is not."""

import pytest

from flink_jobs.uids import Operator, SameName, plain, uids

OVER = "partitionBy=[vehicle_id, $15], orderBy=[arrival ASC], window=[ RANGE BETWEEN UNBOUNDED PRECEDING]"


def over(number: int, *aggregates: str, before: str = "vehicle_id, $15") -> Operator:
    columns = ", ".join((before, *(f"{call} AS w0$o{place}" for place, call in enumerate(aggregates))))
    return Operator(number, f"OverAggregate[{number}]", f"[{number}]:OverAggregate({OVER}, select=[{columns}])")


def windows(number: int, size: str, *sums: str, by: str = "groupBy=[vehicle_id], ") -> Operator:
    ends = "start('w$) AS window_start, end('w$) AS window_end, rowtime('w$) AS window_time"
    description = (
        f"[{number}]:GlobalWindowAggregate({by}window=[TUMBLE(slice_end=[$slice_end], size=[{size}])], "
        f"select=[vehicle_id, {', '.join(sums)}, {ends}])"
    )
    return Operator(number, f"GlobalWindowAggregate[{number}]", description)


def uid(operator: Operator) -> str:
    return uids([operator])[operator.number]


SUMS = ("COUNT(count1$0) AS reading_count", "SUM(sum$1) AS speed_kph_sum", "MAX(max$3) AS speed_kph_max")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(over(5, "novelty(boot_epoch, sequence)"), over(46, "novelty(a, $3)"), id="its place and inputs"),
        pytest.param(
            over(5, "judge($5, 60, f(a, b))"), over(5, "judge($7, 50, f(b))", before="speed_kph, $9"), id="a limit"
        ),
        pytest.param(windows(31, "1 min", *SUMS), windows(73, "1 min", *SUMS), id="the place of windows"),
        pytest.param(
            windows(31, "1 min", "SUM(sum$1) AS speed_kph_sum"),
            windows(31, "1 min", "SUM(sum$9) AS speed_kph_sum"),
            id="what is added up before",
        ),
        pytest.param(Operator(1, "Source: readings[1]", "a"), Operator(4, "Source: readings[42]", "b"), id="a source"),
        pytest.param(
            Operator(1, "vehicle_alerts[27]: Writer", ""), Operator(1, "vehicle_alerts[109]: Writer", ""), id="a sink"
        ),
    ],
)
def test_what_makes_no_difference_to_the_state_makes_none_to_the_name(one: Operator, other: Operator) -> None:
    assert uid(one) == uid(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(over(5, "LAST_VALUE($1)"), over(5, "LAST_VALUE($1)", "LAST_VALUE($2)"), id="one more state"),
        pytest.param(over(5, "carried($1)", "judge($2)"), over(5, "judge($2)", "carried($1)"), id="another order"),
        pytest.param(windows(5, "1 min", *SUMS), windows(5, "1 min", *SUMS[:-1]), id="a figure less"),
        pytest.param(windows(5, "1 min", *SUMS), windows(5, "1 min", *reversed(SUMS)), id="figures in another order"),
        pytest.param(
            windows(5, "1 min", "SUM(sum$1) AS speed_kph_sum"),
            windows(5, "1 min", "SUM(sum$1) AS payload_tons_sum"),
            id="another figure in the same place",
        ),
    ],
)
def test_other_state_has_another_name_that_people_know_it_by(one: Operator, other: Operator) -> None:
    assert uid(one) != uid(other)
    assert uid(one).rpartition("#")[0] == uid(other).rpartition("#")[0] or "carried" in uid(one)


@pytest.mark.parametrize(
    ("operator", "name"),
    [
        (over(5, "novelty(boot_epoch, sequence)"), "per vehicle: novelty"),
        (over(5, "LAST_VALUE($1)", "LAST_VALUE($2)"), "per vehicle: LAST_VALUE"),
        (windows(5, "1 min", *SUMS), "windows of 1 min by vehicle_id"),
        (windows(5, "5 min", *SUMS, by=""), "windows of 5 min of all"),
        (Operator(1, "Source: readings[1]", ""), "Source: readings"),
    ],
)
def test_people_are_told_a_plain_name(operator: Operator, name: str) -> None:
    assert plain(uid(operator)) == name


@pytest.mark.parametrize("kind", ["Calc", "LocalWindowAggregate", "Correlate"])
def test_what_keeps_nothing_needs_no_name_and_may_be_there_twice(kind: str) -> None:
    assert uids([Operator(1, f"{kind}[2]", "a"), Operator(2, f"{kind}[3]", "b")]) == {}


def test_windows_of_a_vehicle_and_of_all_are_told_apart() -> None:
    both = uids([windows(1, "1 min", *SUMS), windows(2, "1 min", *SUMS, by="")])
    assert len(set(both.values())) == 2


def test_two_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(SameName, match="per vehicle: LAST_VALUE"):
        uids([over(1, "LAST_VALUE($1)"), over(2, "LAST_VALUE($4)")])
