"""What a delivery report means to whoever handed the record over."""

from ingest_gateway.record import VehicleRecord


class ReadingsTicket:
    """The good readings of one batch, in their order. `taken_s`: CLOCK_BOOTTIME, seconds."""

    __slots__ = ("_boot_epoch", "_sequences", "record", "taken_s")

    def __init__(self, record: VehicleRecord, boot_epoch: int, sequences: list[int], taken_s: float) -> None:
        self.record, self._boot_epoch, self._sequences, self.taken_s = record, boot_epoch, sequences, taken_s

    def arrived(self) -> int:
        """Kafka has reported on every record, and all but those that have `failed` are durable. Returns how many."""
        self.record.acks.arrived(self._boot_epoch, self._sequences)
        return len(self._sequences)

    def failed(self, sequence: int) -> None:
        self._sequences.remove(sequence)
        self.record.acks.failed(self._boot_epoch, sequence)


class LetterTicket:
    """A rejected reading. `taken_s`: CLOCK_BOOTTIME, seconds."""

    __slots__ = ("_boot_epoch", "_sequence", "record", "taken_s")

    def __init__(self, record: VehicleRecord, boot_epoch: int, sequence: int, taken_s: float) -> None:
        self.record, self._boot_epoch, self._sequence, self.taken_s = record, boot_epoch, sequence, taken_s

    def arrived(self) -> int:
        self.record.acks.arrived(self._boot_epoch, (self._sequence,))
        return 1

    def failed(self) -> None:
        self.record.acks.failed(self._boot_epoch, self._sequence)


class LostTicket:
    """A declared loss."""

    __slots__ = ("_boot_epoch", "_first", "_last", "record")

    def __init__(self, record: VehicleRecord, boot_epoch: int, first: int, last: int) -> None:
        self.record, self._boot_epoch, self._first, self._last = record, boot_epoch, first, last

    def arrived(self) -> int:
        """Returns of how many readings it was not known that they are lost."""
        return self.record.acks.declared_lost(self._boot_epoch, self._first, self._last)

    def failed(self) -> None:
        self.record.acks.loss_failed(self._boot_epoch, self._first, self._last)


class StatusTicket:
    """A status change."""

    __slots__ = ("vehicle_id",)

    def __init__(self, vehicle_id: str) -> None:
        self.vehicle_id = vehicle_id


Ticket = ReadingsTicket | LetterTicket | LostTicket | StatusTicket
