"""The errors that a servicer raises, and what they become on the wire.

A servicer raises a PitwallError; the errors interceptor answers with its canonical code and with google.rpc details:
ErrorInfo (reason, domain "pitwall", metadata) always, BadRequest where fields are at fault. Anything else that escapes
a servicer is a defect of ours: INTERNAL with an incident id, the rest in the log.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from pitwall.rpc.limits import MAX_METADATA_BYTES

DOMAIN: Final = "pitwall"
#: Carries google.rpc.Status on a gRPC call.
STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
#: Limits that keep an answer's trailers within the limit on metadata. What is longer is cut.
MAX_MESSAGE_BYTES: Final = 1_000
MAX_ENTRIES: Final = 8
MAX_NAME_BYTES: Final = 100
MAX_TEXT_BYTES: Final = 200
#: Key of ErrorInfo.metadata: "true" where a command may have taken effect in spite of the error.
MAY_HAVE_HAPPENED: Final = "may_have_happened"

# gRPC writes the message percent-encoded (3 for 1) and the details, which repeat it, in base64 (4 for 3).
assert MAX_MESSAGE_BYTES * 3 + (MAX_MESSAGE_BYTES + 2 * MAX_ENTRIES * (MAX_NAME_BYTES + MAX_TEXT_BYTES)) * 4 / 3 < (
    0.75 * MAX_METADATA_BYTES
)


class PitwallError(Exception):
    """An answer to the caller: `reason` in UPPER_SNAKE_CASE for programs, `message` with the mend for people.

    `fields` maps a field's path in the request to what is wrong with it.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.fields: Mapping[str, str] = dict(fields or {})
        self.metadata: Mapping[str, str] = dict(metadata or {})


class _Canonical(PitwallError):
    """A PitwallError whose class says the code: the table STATUS_CODES."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(STATUS_CODES[type(self)], reason, message, fields=fields, metadata=metadata)


class InvalidArgument(_Canonical):
    """The request is wrong whatever the state of the system."""


class NotFound(_Canonical):
    """What the request names is not here."""


class AlreadyExists(_Canonical):
    """What the request creates is there already."""


class Unauthenticated(_Canonical):
    """Nobody knows who is calling."""


class PermissionDenied(_Canonical):
    """The caller is known and may not."""


class FailedPrecondition(_Canonical):
    """The state of the system must change first; a retry alone won't help."""


class Aborted(_Canonical):
    """Somebody was faster, or the state changed since the caller looked: look again."""


class ResourceExhausted(_Canonical):
    """A named limit is reached."""


class Unavailable(_Canonical):
    """Not now: retry with backoff."""


class DeadlineExceeded(_Canonical):
    """Time ran out."""


class Unimplemented(_Canonical):
    """The contract has it, and nothing serves it here."""


STATUS_CODES: Final[Mapping[type[PitwallError], grpc.StatusCode]] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Aborted: grpc.StatusCode.ABORTED,
    ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
}


def to_status(error: PitwallError) -> status_pb2.Status:
    """The google.rpc.Status of an error, cut to the limits above."""
    info = error_details_pb2.ErrorInfo(
        reason=_cut(error.reason, MAX_NAME_BYTES), domain=DOMAIN, metadata=dict(_entries(error.metadata))
    )
    number: int = error.code.value[0]
    status = status_pb2.Status(code=number, message=_cut(error.message, MAX_MESSAGE_BYTES))
    status.details.append(_packed(info))
    if error.fields:
        status.details.append(_packed(_bad_request(error.fields)))
    return status


def _bad_request(fields: Mapping[str, str]) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation
    return error_details_pb2.BadRequest(
        field_violations=[violation(field=name, description=text) for name, text in _entries(fields)]
    )


def _entries(mapping: Mapping[str, str]) -> list[tuple[str, str]]:
    first = list(mapping.items())[:MAX_ENTRIES]
    return [(_cut(name, MAX_NAME_BYTES), _cut(text, MAX_TEXT_BYTES)) for name, text in first]


def _cut(text: str, limit_bytes: int) -> str:
    return text.encode("utf-8", "replace")[:limit_bytes].decode("utf-8", "ignore")


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What a client can know of a failed call. `reason` is empty where the answer is not from a servicer of ours."""

    code: grpc.StatusCode
    reason: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def may_have_happened(self) -> bool:
        """Whether a command may have taken effect: as the server says, and True where nobody says."""
        said = self.metadata.get(MAY_HAVE_HAPPENED)
        return said == "true" if said is not None else not self.reason


def from_rpc_error(error: grpc.aio.AioRpcError) -> ErrorDetails:
    """Reads the details back. Never raises: unreadable details are as good as none."""
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    with suppress(DecodeError):
        for detail in _status_of(error).details:
            # Unpack leaves a message of another type as it is.
            detail.Unpack(info)
            detail.Unpack(bad_request)
    fields = {violation.field: violation.description for violation in bad_request.field_violations}
    return ErrorDetails(error.code(), info.reason, error.details() or "", fields, dict(info.metadata))


def _status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Raises DecodeError."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()
