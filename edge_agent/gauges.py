"""Gauges of the agents' process: read when somebody asks."""

from opentelemetry import metrics

from edge_agent.control_loop import ControlLoop
from edge_agent.host import Host
from edge_agent.vehicle_socket import VehicleSocket
from pitwall.instruments import gauge, total


def show(host: Host, outbox_max_bytes: int) -> None:
    """Once per process."""
    meter = metrics.get_meter("edge_agent")
    vehicles = host.vehicles
    gauge(meter, "pitwall.agent.vehicles", "Vehicles hosted", lambda: len(vehicles))
    gauge(
        meter,
        "pitwall.agent.vehicles.connected",
        "Vehicles that a gateway has welcomed",
        lambda: sum(vehicle.connected for vehicle in list(vehicles.values())),
    )
    gauge(
        meter,
        "pitwall.agent.vehicles.latched",
        "Vehicles that a stop has hold of",
        lambda: sum(bool(vehicle.agent.gate.latched) for vehicle in list(vehicles.values())),
    )
    gauge(meter, "pitwall.agent.outbox.readings", "Readings on disk without an ack", lambda: host.newest.rows)
    gauge(meter, "pitwall.agent.outbox.size", "Readings on disk without an ack", lambda: host.newest.bytes, "By")
    gauge(meter, "pitwall.agent.outbox.limit", "Beyond this the oldest readings go", lambda: outbox_max_bytes, "By")
    gauge(
        meter,
        "pitwall.agent.outbox.unsaved",
        "Readings that are in memory alone, because the disk takes none",
        lambda: host.newest.unsaved,
    )
    gauge(meter, "pitwall.agent.outbox.waiting", "Commands that wait for the disk", lambda: host.outbox.worker.waiting)
    text = "How often the disk has refused readings, or the file was damaged"
    total(meter, "pitwall.agent.outbox.failures", text, lambda: host.outbox.failures)
    total(meter, "pitwall.agent.latch.failures", "Latches that the disk refused", lambda: host.latches.failures)


def show_socket(plant: VehicleSocket) -> None:
    """Once per process."""
    meter = metrics.get_meter("edge_agent")
    text = "Verdicts that could not be handed to the vehicle"
    total(meter, "pitwall.agent.verdicts.dropped", text, lambda: plant.dropped)
    text = "Samples, and ends of the connection to the vehicle, that a fault in the program lost"
    total(meter, "pitwall.agent.listener.failures", text, lambda: plant.failures)


def show_loop(loop: ControlLoop) -> None:
    """Once per process."""
    meter = metrics.get_meter("edge_agent")
    text = "What one vehicle took in the slice before"
    gauge(meter, "pitwall.agent.vehicle.tick", text, lambda: loop.vehicle_tick_s, "s")
