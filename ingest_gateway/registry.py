"""The sessions of this gateway: one for each vehicle, the newest by (boot_epoch, connect_count)."""

from collections.abc import Iterator

from ingest_gateway.effects import Close, Code
from ingest_gateway.hello import SessionKey
from ingest_gateway.limits import PULSES_AT_ONCE
from ingest_gateway.session import Session

OLD_SESSION = Close(Code.ABORTED, "NEWER_SESSION", "the vehicle has a newer session; this stream ends")


class Registry:
    """Open sessions by vehicle."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def turn(self, number: int) -> list[Session]:
        """Those whose pulse is told in this turn: all of few in the first one, a part of many in each."""
        if len(self._sessions) <= PULSES_AT_ONCE:
            return [] if number else list(self)
        return [session for session in self if session.pulse.turn == number]

    def get(self, vehicle_id: str) -> Session | None:
        return self._sessions.get(vehicle_id)

    def open(self, session: Session) -> Session | None:
        """Enters a session that has said Hello. Returns the one that has to close: the older one of two, if any."""
        other = self._sessions.get(session.vehicle_id)
        if other is not None and other.key >= session.key:
            session.superseded = True
            return session
        self._sessions[session.vehicle_id] = session
        if other is not None:
            other.superseded = True
        return other

    def superseded(self, vehicle_id: str, key: SessionKey) -> Session | None:
        """The session, up to this key, that is no longer the vehicle's newest anywhere, if it is here."""
        session = self._sessions.get(vehicle_id)
        if session is None or session.key > key:
            return None
        session.superseded = True
        return session

    def close(self, session: Session) -> bool:
        """Takes it out. False where it was not in, or another one has its place."""
        if self._sessions.get(session.vehicle_id) is not session:
            return False
        del self._sessions[session.vehicle_id]
        return True
