"""What `pitwall doctor` finds: one part, how it is, and what to do where it isn't well."""

from dataclasses import dataclass
from enum import StrEnum

from console.site import Site


class State(StrEnum):
    OK = "ok"
    #: Worth knowing; nothing fails because of it now.
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` says how the part is, `fix` what to do about it; empty where nothing is to be done."""

    part: str
    state: State
    text: str
    fix: str = ""


def ok(part: str, text: str) -> Finding:
    return Finding(part, State.OK, text)


def note(part: str, text: str, fix: str = "") -> Finding:
    return Finding(part, State.NOTE, text, fix)


def wrong(part: str, text: str, fix: str) -> Finding:
    return Finding(part, State.WRONG, text, fix)


def look(site: Site, *names: str) -> str:
    """What to do about processes of a local stack."""
    logs = " and ".join(str(site.home / "logs" / f"{name}.log") for name in names)
    return f"see {logs}; `make up` starts what is missing"
