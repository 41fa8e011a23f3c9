"""What a row of the table of bad input says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Layer(StrEnum):
    """Where the bad input comes in; which is who refuses it."""

    #: A command line. `given` is that line; {names} are files of the site.
    CLI = "cli"
    #: A call of CommandService past the console. `given` names it in calls.py.
    RPC = "rpc"
    #: A call of FleetService. `given` names it in fleet_calls.py.
    FLEET = "fleet"
    #: A call of FleetService whose answers nobody takes.
    WATCHER = "watcher"
    #: A reading on a good stream, beside a good one. `given` names what is wrong with it, in readings.py.
    READING = "reading"
    #: A stream between machines: its certificate, its first frame. `given` names it in streams.py.
    STREAM = "stream"
    #: A process that is about to start. `given` names what is in its way, in startup.py.
    STARTUP = "startup"


@dataclass(frozen=True, slots=True)
class Counter:
    """A Prometheus sample of one process, added up over all label sets that contain `labels`. It has to grow."""

    process: str
    sample: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One bad input and what has to come of it. Empty: nothing of the kind is looked at.

    `code` is gRPC's, `reason` that of ErrorInfo or of the Rejection; the text that a person gets names each of `names`.
    """

    sentence: str
    layer: Layer
    given: str
    code: str = ""
    reason: str = ""
    names: tuple[str, ...] = ()
    exit_code: int | None = None
    counter: Counter | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    text: str
    code: str = ""
    reason: str = ""
    exit_code: int | None = None
