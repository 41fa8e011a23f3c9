"""`pitwall motion`: each vehicle's motion state as the command service has it, which is what stops and orders go by.

It needs no fleet service, as nothing does that stops or releases a vehicle.
"""

from datetime import UTC, datetime

from haul.command.v1 import command_service_pb2, order_pb2

from console import words
from console.client import Client
from console.failures import EXIT_DONE
from console.output import emit, table
from console.paging import every_page
from console.site import Site

COLUMNS = ("VEHICLE", "STATUS", "SUB-STATUS", "HOLD", "LINK", "SPEED km/h", "AGE", "STOPS")


def list_motion_states(client: Client) -> list[order_pb2.MotionState]:
    """By vehicle id, with etags that are fresh now."""

    def page(token: str) -> tuple[list[order_pb2.MotionState], str]:
        request = command_service_pb2.ListMotionStatesRequest(page_size=1000, page_token=token)
        answer = client.ask(
            lambda line, timeout_s: line.stub.ListMotionStates(request, timeout=timeout_s, metadata=line.metadata)
        )
        return list(answer.motion_states), answer.next_page_token

    return sorted(every_page(page), key=lambda state: state.vehicle_id)


def run(site: Site) -> int:
    with Client(site) as client:
        states = list_motion_states(client)
    if site.json:
        for state in states:
            emit(state)
    else:
        now = datetime.now(UTC)
        rows = [(*row(state, now), state.gateway or words.UNKNOWN) for state in states]
        table((*COLUMNS, "GATEWAY"), rows, "no vehicle has ever connected; `make up` starts some")
    return EXIT_DONE


def row(state: order_pb2.MotionState, now: datetime) -> tuple[str, ...]:
    """Cells for COLUMNS. What is unknown is a dash, never a zero."""
    link = words.connectivity(state.connectivity)
    if state.HasField("connectivity_time"):
        link += f" for {words.since(state.connectivity_time, now)}"
    return (
        state.vehicle_id,
        words.status(state.status),
        words.sub_status(state.sub_status),
        words.hold(state.motion_hold),
        link,
        f"{state.speed_kph:.1f}" if state.HasField("speed_kph") else words.UNKNOWN,
        words.age(state.age) if state.HasField("age") else words.UNKNOWN,
        str(len(state.latched_stop_ids)) if state.latched_stop_ids else "",
    )
