"""Which port each process of the local stack has.

The default numbers are part of the contract; everything here is about moving them: by an offset, one by one, or as a
block of neighbours for a second stack on the same machine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from deploy.local.errors import UsageError

MAX_GATEWAYS = 4

DEFAULT_PORTS: Mapping[str, int] = MappingProxyType(
    {
        "gateway-1": 50051,
        "gateway-2": 50061,
        "gateway-3": 50071,
        "gateway-4": 50081,
        "command-1": 50052,
        "command-2": 50062,
        "command-3": 50072,
        "command-1-link": 50054,
        "command-2-link": 50064,
        "command-3-link": 50074,
        "kafka": 9092,
        "kafka-controller": 9093,
        "postgres": 15432,
        "redis": 16379,
        "flink": 8081,
        "flink-rpc": 6123,
        "command-1-metrics": 9464,
        "command-2-metrics": 9465,
        "command-3-metrics": 9466,
        "gateway-1-metrics": 9467,
        "gateway-2-metrics": 9468,
        "agents-metrics": 9469,
        "plant-metrics": 9470,
        "gateway-3-metrics": 9471,
        "gateway-4-metrics": 9472,
        "fleet-1": 50053,
        "stream-jobs-metrics": 9473,
        "fleet-1-metrics": 9474,
        "flink-jobmanager-metrics": 9475,
        "flink-taskmanager-metrics": 9476,
        "agents-2-metrics": 9477,
        "agents-3-metrics": 9478,
        "agents-4-metrics": 9479,
    }
)
_ENVIRONMENT_PREFIX = "PITWALL_PORT_"
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Ports:
    """A number for every name in DEFAULT_PORTS, all different."""

    numbers: Mapping[str, int]

    def __post_init__(self) -> None:
        for name, number in self.numbers.items():
            if not 1 <= number <= _HIGHEST_PORT:
                raise UsageError(f"port {number} for {name} is not in 1..{_HIGHEST_PORT}; choose another")
        _refuse_doubles(self.numbers)

    def __getitem__(self, name: str) -> int:
        return self.numbers[name]

    @classmethod
    def shifted(cls, offset: int = 0, changes: Mapping[str, int] | None = None) -> "Ports":
        """The default ports plus ``offset``, then the named ``changes`` as they are."""
        return cls({name: port + offset for name, port in DEFAULT_PORTS.items()} | dict(changes or {}))

    @classmethod
    def block(cls, first: int) -> "Ports":
        """Neighbours from ``first`` on: a second stack that shares no port with the default one."""
        return cls({name: first + i for i, name in enumerate(DEFAULT_PORTS)})


def changes_from(assignments: Iterable[str], environment: Mapping[str, str]) -> dict[str, int]:
    """Reads ``PITWALL_PORT_KAFKA=9192`` from the environment, then ``kafka=9192`` from flags, which win."""
    changes = {
        name: _number(_variable(name), environment[_variable(name)])
        for name in DEFAULT_PORTS
        if environment.get(_variable(name))
    }
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in DEFAULT_PORTS:
            raise UsageError(f'--port {assignment}: no port is called "{name}"; there are {", ".join(DEFAULT_PORTS)}')
        changes[name] = _number(f"--port {name}", text)
    return changes


def _variable(name: str) -> str:
    return _ENVIRONMENT_PREFIX + name.upper().replace("-", "_")


def _number(where: str, text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f'{where}: "{text}" is not a port number; give 1..{_HIGHEST_PORT}')
    return int(text)


def _refuse_doubles(numbers: Mapping[str, int]) -> None:
    names: dict[int, str] = {}
    for name, number in numbers.items():
        if number in names:
            raise UsageError(f"{names[number]} and {name} would both have port {number}; move one of them")
        names[number] = name
