"""Processes that can not start."""

from tests.integration.bad_input.rows import Layer, Row

STARTUP = (
    *(
        Row(
            f"an unknown key in the settings of {name} is named with the one that was meant",
            Layer.STARTUP,
            f"unknown key: {name}",
            names=(f"{name}.toml", "metrics_adress", "metrics_address"),
            exit_code=78,
        )
        for name in ("gateway-1", "command-1", "agents", "plant")
    ),
    Row(
        "a port of the gateway that is taken is named with who has it",
        Layer.STARTUP,
        "taken port: gateway-1 vehicle_address",
        names=("{gateway_address}", "taken by pid", "ingest_gateway"),
        exit_code=71,
    ),
    Row(
        "a port of the command service that is taken is named with who has it",
        Layer.STARTUP,
        "taken port: command-1 operator_address",
        names=("{operator_address}", "taken by pid", "command_service"),
        exit_code=71,
    ),
    Row(
        "a command service whose journal is gone doesn't begin anew by itself",
        Layer.STARTUP,
        "missing journal",
        names=("command-1.sqlite", "journal", "first_start"),
        exit_code=78,
    ),
    Row(
        "an agent without a folder to write to is told which",
        Layer.STARTUP,
        "no data folder",
        names=("data_dir", "/dev/null/agents"),
        exit_code=69,
    ),
    Row(
        "an agent whose disk is full says so, loses nothing, and its vehicle can still be stopped",
        Layer.STARTUP,
        "full disk",
        names=("disk",),
    ),
    Row(
        "a missing certificate is named",
        Layer.STARTUP,
        "missing certificate: gateway-1",
        names=("nowhere.pem",),
        exit_code=69,
    ),
    Row(
        "a missing Java is named with the package that has it",
        Layer.STARTUP,
        "missing Java",
        names=("Java 17 is missing", "openjdk-17-jdk-headless", "JAVA_HOME"),
        exit_code=69,
    ),
)
