"""What a process says of itself: GET /healthz, 200 while it is well, with its parts as JSON."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT_S = 2.0


class NoHealth(Exception):
    """Nothing was said; the text says why."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    well: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Health:
    """`date` is the Date of the answer, empty where it has none; `text` the beginning of what was said."""

    well: bool
    parts: Mapping[str, PartHealth]
    date: str
    text: str

    @property
    def unwell(self) -> Mapping[str, PartHealth]:
        return {name: part for name, part in self.parts.items() if not part.well}


def read_health(address: str) -> Health:
    """Raises NoHealth."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        body = answer.read()
    except TimeoutError:
        raise NoHealth(f"http://{address}/healthz doesn't answer: it hangs") from None
    except (OSError, http.client.HTTPException) as error:
        raise NoHealth(f"http://{address}/healthz: {error}") from error
    finally:
        connection.close()
    well = answer.status == http.client.OK
    return Health(well, _parts(body), answer.getheader("date", ""), body[:200].decode(errors="replace"))


def _parts(body: bytes) -> dict[str, PartHealth]:
    """None where it isn't in our form."""
    try:
        parts = json.loads(body)["parts"].items()
        return {name: PartHealth(bool(part["ok"]), str(part.get("detail") or "")) for name, part in parts}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
