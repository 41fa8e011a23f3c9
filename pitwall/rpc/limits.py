"""Limits of servers and channels, one place for both sides."""

from dataclasses import dataclass
from typing import Final

#: Keepalive finds a half-open link within this; the design allows 15 s.
MAX_HALF_OPEN_S: Final = 15.0
#: gRPC's server counts pings that come faster than this as abuse; it must be below every client's keepalive time.
MIN_PING_INTERVAL_S: Final = 0.1
MAX_METADATA_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """Of one server or channel. Bytes are of one message, seconds as the name says."""

    max_receive_bytes: int = 1024 * 1024
    max_send_bytes: int = 4 * 1024 * 1024
    max_metadata_bytes: int = MAX_METADATA_BYTES
    #: Calls at one time over the whole server; the next one is answered RESOURCE_EXHAUSTED.
    max_concurrent_rpcs: int = 10_000
    max_streams_per_connection: int = 1_000
    #: What the other side may send ahead on one stream of what is read here, bytes. None: gRPC finds out what the line
    #: carries, and takes megabytes; also of a message that it will refuse for its size.
    receive_window_bytes: int | None = None
    #: Of what is sent, bytes in one TLS record: gRPC keeps a buffer for one with each connection. None: 16 KiB.
    tls_record_bytes: int | None = None
    #: Silence after which a ping is sent, and how long its answer may take.
    keepalive_time_s: float = 5.0
    keepalive_timeout_s: float = 5.0
    #: Of a server: a connection without calls is closed after so long, and one that takes longer for its handshake.
    max_connection_idle_s: float = 86_400.0
    handshake_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if self.keepalive_time_s <= MIN_PING_INTERVAL_S:
            raise ValueError(f"keepalive_time_s must be above {MIN_PING_INTERVAL_S}: {self.keepalive_time_s}")
        if self.half_open_s > MAX_HALF_OPEN_S:
            raise ValueError(f"a half-open link must be found within {MAX_HALF_OPEN_S} s, not {self.half_open_s}")

    @property
    def half_open_s(self) -> float:
        """The longest that a dead link goes unnoticed."""
        return self.keepalive_time_s + self.keepalive_timeout_s

    def options(self) -> list[tuple[str, int]]:
        """gRPC's channel arguments, the same for both sides."""
        return [
            *self._window(),
            *self._records(),
            ("grpc.max_receive_message_length", self.max_receive_bytes),
            ("grpc.max_send_message_length", self.max_send_bytes),
            ("grpc.max_metadata_size", self.max_metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.max_metadata_bytes),
            ("grpc.keepalive_time_ms", round(self.keepalive_time_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout_s * 1000)),
            # Without it a ping may go unanswered for 60 s, whatever keepalive_timeout_ms says (seen with 1.85.1).
            ("grpc.http2.ping_timeout_ms", round(self.keepalive_timeout_s * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]

    def _window(self) -> list[tuple[str, int]]:
        if self.receive_window_bytes is None:
            return []
        return [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", self.receive_window_bytes)]

    def _records(self) -> list[tuple[str, int]]:
        return [] if self.tls_record_bytes is None else [("grpc.tsi.max_frame_size", self.tls_record_bytes)]


DEFAULT_LIMITS: Final = RpcLimits()
