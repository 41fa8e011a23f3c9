"""What a delivery report means to whoever handed the record over."""

from collections.abc import Sequence

from ingest_gateway.record import VehicleRecord


class ReadingsTicket:
    """One batch, good and rejected readings alike. `taken_s`: CLOCK_BOOTTIME, seconds."""

    __slots__ = ("_boot_epoch", "record", "taken_s")

    def __init__(self, record: VehicleRecord, boot_epoch: int, taken_s: float) -> None:
        self.record, self._boot_epoch, self.taken_s = record, boot_epoch, taken_s

    def arrived(self, sequences: Sequence[int]) -> None:
        self.record.acks.arrived(self._boot_epoch, sequences)

    def failed(self, sequence: int) -> None:
        self.record.acks.failed(self._boot_epoch, sequence)


class LostTicket:
    """A declared loss."""

    __slots__ = ("_boot_epoch", "_first", "_last", "record")

    def __init__(self, record: VehicleRecord, boot_epoch: int, first: int, last: int) -> None:
        self.record, self._boot_epoch, self._first, self._last = record, boot_epoch, first, last

    def arrived(self) -> None:
        self.record.acks.declared_lost(self._boot_epoch, self._first, self._last)


class StatusTicket:
    """A status change."""

    __slots__ = ("vehicle_id",)

    def __init__(self, vehicle_id: str) -> None:
        self.vehicle_id = vehicle_id


Ticket = ReadingsTicket | LostTicket | StatusTicket
#: A ticket, and the sequence within it; 0 where there is one record only.
Token = tuple[Ticket, int]
