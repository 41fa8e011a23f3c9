"""Agent and gateway are strangers: what one sends and the other takes is compared here."""

from edge_agent.limits import MAX_EPOCHS_UNDER_WAY, MAX_LOST_UNDER_WAY
from ingest_gateway.limits import MAX_EPOCHS_PER_VEHICLE, MAX_LOSSES_IN_FLIGHT


def test_a_gateway_takes_all_losses_that_an_agent_has_under_way() -> None:
    assert MAX_LOST_UNDER_WAY <= MAX_LOSSES_IN_FLIGHT


def test_a_gateway_remembers_all_boot_epochs_that_an_agent_has_under_way() -> None:
    live = 1
    assert live + MAX_EPOCHS_UNDER_WAY + MAX_LOST_UNDER_WAY <= MAX_EPOCHS_PER_VEHICLE
