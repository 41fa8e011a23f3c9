"""Our own processes: their configuration files and commands."""

import sys
from pathlib import Path

from deploy.local.options import Server, StackOptions
from deploy.local.places import Places
from deploy.local.probes import HttpProbe
from deploy.local.process import ConfigFile, Directory, Group, Part, Process, joined
from deploy.local.toml import Value, toml_text


def gateways(options: StackOptions) -> Part:
    """The ingest gateways, each on a port of its own."""
    parts = [_gateway(options, f"gateway-{i}") for i in range(1, options.gateways + 1)]
    return joined(parts)


def command_services(options: StackOptions, *, first_start: bool) -> Part:
    """The command services. first_start: they may begin without a journal, which is right for a new site only."""
    names = [f"command-{i}" for i in range(1, options.command_services + 1)]
    return joined([_command_service(options, name, names, first_start) for name in names])


#: One event loop judges so many vehicles ten times a second and still has time for their streams.
VEHICLES_PER_AGENTS = 250


def vehicles(options: StackOptions) -> Part:
    """The plant, which is all vehicles' physics and outlives the agents; and the agents, many in one process."""
    if not options.vehicle_ids:
        return Part()
    firsts = range(1, max(options.vehicles, 1) + 1, VEHICLES_PER_AGENTS)
    return joined([_plant(options), *(_agents(options, first) for first in firsts)])


def _gateway(options: StackOptions, name: str) -> Part:
    places, ports = Places(options.home), options.ports
    keys: dict[str, Value] = {
        "name": name,
        "vehicle_address": address(ports[name]),
        "metrics_address": address(ports[f"{name}-metrics"]),
        "command_services": [address(ports[f"command-{i}-link"]) for i in range(1, options.command_services + 1)],
        "kafka_bootstrap": kafka_bootstrap(options),
    }
    text = toml_text(keys, {"tls": tls(places, name)})
    return service(options, name, "ingest_gateway", text, {name: ports[name]})


def _command_service(options: StackOptions, name: str, names: list[str], first_start: bool) -> Part:
    places, ports = Places(options.home), options.ports
    data = places.data / name
    keys: dict[str, Value] = {
        "name": name,
        "operator_address": address(ports[name]),
        "link_address": address(ports[f"{name}-link"]),
        "metrics_address": address(ports[f"{name}-metrics"]),
        "journal": data / f"{name}.sqlite",
        "first_start": first_start,
        "jwks": places.certs / "jwks.json",
        "kafka_bootstrap": kafka_bootstrap(options),
    }
    peers: dict[str, Value] = {peer: address(ports[f"{peer}-link"]) for peer in names if peer != name}
    text = toml_text(keys, {"tls": tls(places, name), "peers": peers})
    numbers = {name: ports[name], f"{name}-link": ports[f"{name}-link"]}
    part = service(options, name, "command_service", text, numbers)
    return Part(part.processes, part.files, (Directory(data),))


def _plant(options: StackOptions) -> Part:
    places = Places(options.home)
    keys: dict[str, Value] = {
        "vehicle_socket": _vehicle_socket(places),
        "control_socket": places.sockets / "plant-control.sock",
        "plant_dir": places.plant,
        "fleet": options.vehicles,
        "seed": options.seed,
        "time_scale": options.time_scale,
        "metrics_address": address(options.ports["plant-metrics"]),
    }
    if options.replay:
        keys["replay"] = options.replay
    part = service(options, "plant", "edge_agent.simulator", toml_text(keys), {})
    return Part(part.processes, part.files, (Directory(places.plant),))


def _agents(options: StackOptions, first: int) -> Part:
    """Those of the vehicles from number `first` on; the first process has the replayed one too."""
    places, ports = Places(options.home), options.ports
    name = "agents" if first == 1 else f"agents-{first // VEHICLES_PER_AGENTS + 1}"
    data = places.data / name
    keys: dict[str, Value] = {
        "fleet": min(VEHICLES_PER_AGENTS, options.vehicles - first + 1),
        "replay": first == 1 and options.replay is not None,
        "gateways": [address(ports[f"gateway-{i}"]) for i in range(1, options.gateways + 1)],
        "data_dir": data,
        "certs_dir": places.certs / "vehicles",
        "ca": places.certs / "ca.pem",
        "vehicle_socket": _vehicle_socket(places),
        "plant_dir": places.plant if options.plant_readings else "",
        "rate_hz": options.rate_hz,
        "time_scale": options.time_scale,
        "seed": options.seed,
        # Nobody sits in a simulated vehicle or stands before it. Without this line, an agent refuses to be drilled.
        "drills": options.drills,
        "metrics_address": address(ports[f"{name}-metrics"]),
    }
    if first > 1:
        keys["fleet_first"] = first
    part = service(options, name, "edge_agent", toml_text(keys), {})
    return Part(part.processes, part.files, (Directory(data),))


def service(
    options: StackOptions, name: str, module: str, text: str, ports: dict[str, int], group: Group = Group.LINE
) -> Part:
    """A Python process of ours; every one of them serves /healthz beside its metrics."""
    config, metrics = Places(options.home).config / f"{name}.toml", options.ports[f"{name}-metrics"]
    process = Process(
        name=name,
        command=(sys.executable, "-m", module, "--config", str(config)),
        group=group,
        health=HttpProbe(metrics, "/healthz"),
        ports=ports | {f"{name}-metrics": metrics},
        directory=options.home,
    )
    return Part((process,), (ConfigFile(config, text),))


def kafka_bootstrap(options: StackOptions) -> str:
    """Where our Kafka is, or would be: a stack without one is a stack whose Kafka is down."""
    return address(options.ports[Server.KAFKA])


def _vehicle_socket(places: Places) -> Path:
    return places.sockets / "vehicle.sock"


def address(port: int) -> str:
    return f"127.0.0.1:{port}"


def tls(places: Places, name: str) -> dict[str, Value]:
    return {
        "ca": places.certs / "ca.pem",
        "certificate": places.certs / f"{name}.pem",
        "key": places.certs / f"{name}.key",
    }
