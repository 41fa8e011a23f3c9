"""What the plant counts, for Prometheus."""

from opentelemetry import metrics

from edge_agent.simulator.host import PlantHost
from edge_agent.simulator.plant_files import PlantFiles
from pitwall.instruments import gauge, total


def show(host: PlantHost, files: PlantFiles) -> None:
    """Once per process, after observability.start."""
    meter = metrics.get_meter("edge_agent.simulator")
    gauge(meter, "pitwall.plant.vehicles", "Vehicles of this plant", lambda: len(host.vehicles))
    gauge(meter, "pitwall.plant.agents", "Vehicles that have their agent", lambda: host.connected)
    text = "Verdicts that ran out while their vehicle might move"
    total(meter, "pitwall.plant.brakings.by_itself", text, lambda: host.brakings_by_itself)
    text = "Samples that agents did not read in time"
    total(meter, "pitwall.plant.samples.skipped", text, lambda: host.samples_skipped)
    total(meter, "pitwall.plant.lines.lost", "Lines of plant files that the disk didn't take", lambda: files.lost)
    gauge(meter, "pitwall.plant.wake.late", "How late the newest wake-up was", lambda: host.late_s, unit="s")
