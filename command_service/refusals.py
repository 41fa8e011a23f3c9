"""Requests that were turned down, for the audit: bounded, because anybody can send any number of them."""

from typing import Final

from opentelemetry import metrics

from command_service.events import Record, Refused
from command_service.hub import moment
from command_service.journal import Journal
from pitwall.tokens import Person

#: Written per second on the average, and at once. What is beyond is counted.
PER_S: Final = 20.0
BURST: Final = 200
MAX_MESSAGE_CHARACTERS: Final = 500

_SERVICE: Final = "haul.command.v1.CommandService/"
#: Methods that ask for something to be done, and the prefix of those on the link port.
AUDITED: Final = frozenset(
    {_SERVICE + name for name in ("EmergencyStop", "RequestRelease", "ApproveRelease", "SendOrder", "ListAuditEvents")}
)


class Refusals:
    """`note` is the hook of the errors interceptor."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._tokens, self._at_s = float(BURST), moment().s
        self._counter = metrics.get_meter("command_service").create_counter(
            "pitwall.refusals", description="Requests turned down, by method, reason and whether journaled"
        )

    def note(self, method: str, person: Person | None, reason: str, message: str) -> None:
        name = method.removeprefix("/")
        journaled = name in AUDITED and self._room()
        self._counter.add(1, {"method": name, "reason": reason, "journaled": str(journaled).lower()})
        if journaled:
            event = Refused(name, reason, message[:MAX_MESSAGE_CHARACTERS])
            self._journal.note(Record(moment().ns, person.subject if person else "", event))

    def _room(self) -> bool:
        now_s = moment().s
        self._tokens = min(BURST, self._tokens + (now_s - self._at_s) * PER_S)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
