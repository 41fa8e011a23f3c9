import pytest

from deploy.local.errors import UsageError
from deploy.local.ports import DEFAULT_PORTS, Ports, changes_from


@pytest.mark.parametrize(
    ("name", "port"),
    [
        ("gateway-1", 50051),
        ("gateway-2", 50061),
        ("command-1", 50052),
        ("command-1-link", 50054),
        ("kafka", 9092),
        ("postgres", 15432),
        ("redis", 16379),
        ("flink", 8081),
        ("command-1-metrics", 9464),
        ("plant-metrics", 9470),
        ("fleet-1", 50053),
        ("stream-jobs-metrics", 9473),
        ("fleet-1-metrics", 9474),
        ("flink-jobmanager-metrics", 9475),
        ("flink-taskmanager-metrics", 9476),
    ],
)
def test_the_default_ports_are_those_of_the_contract(name: str, port: int) -> None:
    assert Ports.shifted()[name] == port


def test_an_offset_moves_every_port_and_a_change_only_its_own() -> None:
    ports = Ports.shifted(100, {"kafka": 19000})
    assert ports["kafka"] == 19000
    others = [name for name in DEFAULT_PORTS if name != "kafka"]
    assert all(ports[name] == DEFAULT_PORTS[name] + 100 for name in others)


def test_a_block_has_a_port_for_each_name_and_nothing_between() -> None:
    assert sorted(Ports.block(21000).numbers.values()) == list(range(21000, 21000 + len(DEFAULT_PORTS)))


def test_flags_win_over_the_environment() -> None:
    environment = {"PITWALL_PORT_KAFKA": "1", "PITWALL_PORT_COMMAND_1_LINK": "2", "UNRELATED": "3"}
    assert changes_from(["kafka=4"], environment) == {"kafka": 4, "command-1-link": 2}


@pytest.mark.parametrize(
    ("what", "make", "named"),
    [
        ("a name that no port has", lambda: changes_from(["kafak=1"], {}), "kafak"),
        ("a flag without number", lambda: changes_from(["kafka"], {}), "--port kafka"),
        ("a variable that is no number", lambda: changes_from([], {"PITWALL_PORT_REDIS": "x"}), "PITWALL_PORT_REDIS"),
        ("two names on one port", lambda: Ports.shifted(0, {"redis": 9092}), "redis"),
        ("a port below 1", lambda: Ports.shifted(0, {"redis": 0}), "1..65535"),
        ("an offset that leaves the range", lambda: Ports.shifted(60000), "1..65535"),
    ],
)
def test_refused(what: str, make: object, named: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=named):
        make()
