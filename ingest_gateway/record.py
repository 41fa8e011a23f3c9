"""What the gateway remembers of a vehicle beyond its session, bounded."""

from collections import OrderedDict

from ingest_gateway.acks import AckTracker
from ingest_gateway.allowance import UNLIMITED, Allowance, Rates
from ingest_gateway.clock_offset import VehicleClocks
from ingest_gateway.layout import Layout
from ingest_gateway.limits import MAX_KNOWN_VEHICLES
from ingest_gateway.samples import Samples


class VehicleRecord:
    """One vehicle's readings on their way, its clocks, and what it may send."""

    __slots__ = ("_layout", "acks", "allowance", "clocks", "samples", "vehicle_id")

    def __init__(self, vehicle_id: str, rates: Rates = UNLIMITED) -> None:
        self.vehicle_id = vehicle_id
        self.acks = AckTracker()
        self.allowance = Allowance(rates)
        self.clocks = VehicleClocks()
        self.samples = Samples()
        self._layout: Layout | None = None

    def layout(self, boot_epoch: int) -> Layout:
        """What its readings of that epoch look like; kept of the epoch that was asked for last."""
        if self._layout is None or self._layout.boot_epoch != boot_epoch:
            self._layout = Layout(self.vehicle_id, boot_epoch)
        return self._layout


class VehicleRecords:
    """The records of all vehicles heard, least recently asked for first."""

    def __init__(self, rates: Rates = UNLIMITED, capacity: int = MAX_KNOWN_VEHICLES) -> None:
        self._rates, self._capacity = rates, capacity
        self._records: OrderedDict[str, VehicleRecord] = OrderedDict()

    def of(self, vehicle_id: str) -> VehicleRecord:
        record = self._records.pop(vehicle_id, None) or VehicleRecord(vehicle_id, self._rates)
        self._records[vehicle_id] = record
        self._forget()
        return record

    def __len__(self) -> int:
        return len(self._records)

    def _forget(self) -> None:
        """Forgets whoever was heard longest ago and has nothing in flight; the newest one stays in any case."""
        excess = len(self._records) - self._capacity
        if excess > 0:
            idle = [v for v, record in list(self._records.items())[:-1] if not record.acks.in_flight]
            for vehicle_id in idle[:excess]:
                del self._records[vehicle_id]
