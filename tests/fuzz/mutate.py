"""Changes good frames: in their fields and lengths, by the contract's own descriptors, and in their bytes."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

#: What a stream begins with.
FIRST = "hello"
#: Changes of one frame, at most.
MAX_CHANGES = 4
#: A frame is not made larger than this, bytes; the gateway takes 4 MiB.
MAX_BYTES = 1 << 20

_EDGES = (0, 1, 2, 127, 128, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_SIGNED = (-1, -2, -(2**31), -(2**31) - 1, -(2**62), -(2**63))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-320, 1e38, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 90.0, 180.0)
_TEXTS = (
    "", " ", "\0", "\n", "'; --", "../../etc/passwd", "%s%n", "é" * 3, "\U0001f69a", "\ufffd", "A-1", "fleet",
    "x" * 101, "x" * 70_000,
)  # fmt: skip
_LONGEST_VARINT = b"\xff" * 9 + b"\x01"

_BITS = {
    FieldDescriptor.TYPE_INT32: (32, True),
    FieldDescriptor.TYPE_SINT32: (32, True),
    FieldDescriptor.TYPE_SFIXED32: (32, True),
    FieldDescriptor.TYPE_ENUM: (32, True),
    FieldDescriptor.TYPE_UINT32: (32, False),
    FieldDescriptor.TYPE_FIXED32: (32, False),
    FieldDescriptor.TYPE_INT64: (64, True),
    FieldDescriptor.TYPE_SINT64: (64, True),
    FieldDescriptor.TYPE_SFIXED64: (64, True),
    FieldDescriptor.TYPE_UINT64: (64, False),
    FieldDescriptor.TYPE_FIXED64: (64, False),
}


class Mutator:
    """`frames`: serialized messages of one type, from which it takes what it changes. All follows from the seed."""

    def __init__(self, frames: Sequence[bytes], kind: type[Message], seed: int) -> None:
        self._chance, self._kind = Random(seed), kind
        self._by_body: dict[str | None, list[bytes]] = {}
        for data in frames:
            self._by_body.setdefault(kind.FromString(data).WhichOneof("body"), []).append(data)

    def next(self, *, first: bool) -> bytes:
        """A changed frame; made of one that may be the `first` of a stream or a later one, nearly always.

        As many of each kind, whatever the share of it among the good ones.
        """
        fits = [body for body in self._by_body if (body == FIRST) == first]
        data = self._pick() if self._chance.random() < 0.1 else self._pick(fits)
        if self._chance.random() < 0.8:
            data = self._by_fields(data)
        if self._chance.random() < 0.3:
            data = self._by_bytes(data)
        return data[:MAX_BYTES]

    def _pick(self, bodies: Sequence[str | None] = ()) -> bytes:
        return self._chance.choice(self._by_body[self._chance.choice(bodies or list(self._by_body))])

    # Fields

    def _by_fields(self, data: bytes) -> bytes:
        frame = self._kind.FromString(data)
        for _ in range(self._chance.randint(1, MAX_CHANGES)):
            message = self._chance.choice(_within(frame))
            fields = message.DESCRIPTOR.fields
            if fields:
                self._change(message, self._chance.choice(fields))
            if frame.ByteSize() > MAX_BYTES:
                break
        return frame.SerializeToString()

    def _change(self, message: Any, field: FieldDescriptor) -> None:
        if self._chance.random() < 0.1:
            message.ClearField(field.name)
        elif field.is_repeated:
            self._change_list(getattr(message, field.name), field)
        elif field.message_type is not None:
            self._change_message(getattr(message, field.name))
        else:
            setattr(message, field.name, self._value(field, getattr(message, field.name)))

    def _change_message(self, message: Any) -> None:
        if self._chance.random() < 0.5:
            message.SetInParent()
            return
        same = [each for each in _within(self._kind.FromString(self._pick())) if type(each) is type(message)]
        if same:
            message.CopyFrom(self._chance.choice(same))

    def _change_list(self, entries: Any, field: FieldDescriptor) -> None:
        how = self._chance.choice((self._drop, self._repeat, self._shuffle, self._append))
        how(entries, field)

    def _drop(self, entries: Any, _: FieldDescriptor) -> None:
        if entries:
            del entries[self._chance.randrange(len(entries)) :]

    def _repeat(self, entries: Any, _: FieldDescriptor) -> None:
        if entries:
            one = entries[self._chance.randrange(len(entries))]
            entries.extend([one] * self._chance.choice((1, 2, 101, 1_000)))

    def _shuffle(self, entries: Any, _: FieldDescriptor) -> None:
        mixed = list(entries)
        self._chance.shuffle(mixed)
        del entries[:]
        entries.extend(mixed)

    def _append(self, entries: Any, field: FieldDescriptor) -> None:
        if field.message_type is not None:
            entries.add()
        else:
            entries.append(self._value(field, "" if field.type == FieldDescriptor.TYPE_STRING else 0))

    def _value(self, field: FieldDescriptor, now: Any) -> Any:
        if field.type in _BITS:
            return self._number(*_BITS[field.type], now)
        match field.type:
            case FieldDescriptor.TYPE_BOOL:
                return not now
            case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
                return self._chance.choice((*_FLOATS, now * 1_000, -now))
            case FieldDescriptor.TYPE_STRING:
                return self._chance.choice((*_TEXTS, now + now, now[:-1], now.lower()))
            case FieldDescriptor.TYPE_BYTES:
                return self._chance.randbytes(self._chance.choice((0, 1, 16, 5_000)))
        raise AssertionError(f"{field.full_name} is of a type that nobody thought of")

    def _number(self, bits: int, signed: bool, now: int) -> int:
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        wanted = self._chance.choice((*_EDGES, *_SIGNED, now + 1, now - 1, now * 2, now + 1_000, now - 1_000, -now))
        return int(min(max(wanted, least), most))

    # Bytes

    def _by_bytes(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._chance.randint(1, MAX_CHANGES)):
            how = self._chance.choice(_BYTE_CHANGES)
            at = self._chance.randrange(len(changed) + 1)
            how(changed, at, self._chance)
        if self._chance.random() < 0.1:
            other = self._pick()
            changed += other[self._chance.randrange(len(other)) :]
        return bytes(changed)


def _within(message: Message) -> list[Any]:
    """The message and all that are set in it, at any depth."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in value if field.is_repeated else (value,):
            found += _within(each)
    return found


def _flip(data: bytearray, at: int, chance: Random) -> None:
    if at < len(data):
        data[at] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, at: int, _: Random) -> None:
    del data[at:]


def _take_out(data: bytearray, at: int, chance: Random) -> None:
    del data[at : at + chance.randint(1, 8)]


def _put_in(data: bytearray, at: int, chance: Random) -> None:
    data[at:at] = chance.randbytes(chance.randint(1, 8))


def _twice(data: bytearray, at: int, chance: Random) -> None:
    data[at:at] = data[at : at + chance.randint(1, 200)]


def _endless_number(data: bytearray, at: int, _: Random) -> None:
    data[at:at] = _LONGEST_VARINT


def _deep(data: bytearray, at: int, chance: Random) -> None:
    """Groups within groups, deeper than a reader goes."""
    data[at:at] = b"\x0b" * chance.choice((1, 99, 101, 10_000))


def _unknown(data: bytearray, _: int, chance: Random) -> None:
    """A field that nobody knows, behind all others: number 2000, with a length."""
    ballast = chance.randbytes(chance.choice((0, 100, 5_000)))
    data += b"\x82\x7d" + _varint(len(ballast)) + ballast


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))


_BYTE_CHANGES: tuple[Callable[[bytearray, int, Random], None], ...] = (
    _flip, _flip, _flip, _cut, _take_out, _put_in, _twice, _endless_number, _deep, _unknown,
)  # fmt: skip
