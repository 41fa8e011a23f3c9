"""From an error to the wire and back."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from pitwall.rpc import errors
from pitwall.rpc.errors import STATUS_CODES, STATUS_DETAILS_KEY, ErrorDetails, PitwallError, from_rpc_error, to_status
from pitwall.rpc.limits import MAX_METADATA_BYTES


def received(
    error: PitwallError | None = None, *, details: bytes | None = None, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
) -> grpc.aio.AioRpcError:
    """What a client catches."""
    if error is not None:
        code, details = error.code, to_status(error).SerializeToString()
    trailers = [] if details is None else [(STATUS_DETAILS_KEY, details)]
    return grpc.aio.AioRpcError(code, trailing_metadata=grpc.aio.Metadata(*trailers), details="as gRPC says")


@pytest.mark.parametrize(("kind", "code"), STATUS_CODES.items())
def test_each_kind_has_its_code(kind: type[errors.NotFound], code: grpc.StatusCode) -> None:
    error = kind("REASON", "message")
    assert error.code is code
    assert to_status(error).code == code.value[0]


def test_no_two_kinds_share_a_code_and_none_is_left_out() -> None:
    assert len(set(STATUS_CODES.values())) == len(STATUS_CODES)
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PitwallError)}
    assert {kind for kind in kinds if not kind.__subclasses__()} == set(STATUS_CODES)


def test_what_was_said_is_what_is_heard() -> None:
    error = errors.InvalidArgument(
        "OUT_OF_RANGE", "mend it", fields={"scope.zone": "too few corners"}, metadata={"limit": "100"}
    )
    assert from_rpc_error(received(error)) == ErrorDetails(
        grpc.StatusCode.INVALID_ARGUMENT,
        "OUT_OF_RANGE",
        "as gRPC says",
        {"scope.zone": "too few corners"},
        {"limit": "100"},
    )


def test_an_error_from_below_a_servicer_has_no_reason() -> None:
    heard = from_rpc_error(received(code=grpc.StatusCode.UNAVAILABLE))
    assert (heard.code, heard.reason, heard.message) == (grpc.StatusCode.UNAVAILABLE, "", "as gRPC says")


@pytest.mark.parametrize(
    ("error", "may_have_happened"),
    [
        pytest.param(received(code=grpc.StatusCode.UNAVAILABLE), True, id="nobody says"),
        pytest.param(received(errors.NotFound("X", "x")), False, id="a servicer refused"),
        pytest.param(
            received(errors.Aborted("X", "x", metadata={"may_have_happened": "true"})), True, id="the servicer says yes"
        ),
        pytest.param(received(errors.Aborted("X", "x", metadata={"may_have_happened": "false"})), False, id="… or no"),
    ],
)
def test_whether_it_may_have_happened(error: grpc.aio.AioRpcError, may_have_happened: bool) -> None:
    assert from_rpc_error(error).may_have_happened is may_have_happened


@given(st.binary(max_size=100))
def test_nonsense_in_the_details_is_as_good_as_none(details: bytes) -> None:
    assert from_rpc_error(received(details=details)).message == "as gRPC says"


def test_a_detail_that_only_claims_to_be_one_of_ours_is_as_good_as_none() -> None:
    claimed = AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    details = status_pb2.Status(details=[claimed]).SerializeToString()
    assert from_rpc_error(received(details=details)).reason == ""


def test_a_detail_of_another_kind_is_passed_over() -> None:
    other = AnyMessage()
    other.Pack(error_details_pb2.Help())
    assert from_rpc_error(received(details=status_pb2.Status(details=[other]).SerializeToString())).reason == ""


def test_the_longest_error_fits_into_the_trailers() -> None:
    error = errors.InvalidArgument(
        "X" * 60,
        "é" * 100_000,
        fields={f"{number}" + "é" * 1_000: "é" * 1_000 for number in range(100)},
        metadata={f"{number}" + "é" * 1_000: "é" * 1_000 for number in range(100)},
    )
    status = to_status(error)
    as_text = len(status.message.encode()) * 3 + len(status.SerializeToString()) * 4 // 3
    assert as_text < MAX_METADATA_BYTES
