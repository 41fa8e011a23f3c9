"""What comes to a TLS port that speaks HTTP/2 and is none of it, or nearly. All follows from the seed."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from pitwall.config import TlsSettings

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TIMEOUT_S = 5.0
#: Types of frames, and the flags that mean something.
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
_FLAGS = (0, 1, 4, 5, 8, 0x20, 0x2D, 0xFF)


#: HTTP/1.1, SSH, TLS within TLS, Redis.
_OTHERS = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x02\x00", b"*1\r\n$4\r\nPING\r\n",
)  # fmt: skip


def frame(kind: int, flags: int, stream: int, payload: bytes, said: int | None = None) -> bytes:
    """`said`: the length that the frame claims; its own unless given."""
    length = len(payload) if said is None else said
    return length.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def headers(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in pairs)


def call_of(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Names and values of a call's headers."""
    return (
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", path),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )


def _text(text: bytes) -> bytes:
    """HPACK: a length with a prefix of seven bits, and the text."""
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest, encoded = len(text) - 127, bytearray((127,))
    while rest >= 128:
        encoded.append(rest % 128 + 128)
        rest //= 128
    return bytes((*encoded, rest)) + text


def message(data: bytes) -> bytes:
    """gRPC's own prefix."""
    return b"\0" + len(data).to_bytes(4, "big") + data


_CALL = call_of(b"/haul.link.v1.VehicleLinkService/Connect")
BEGIN = PREFACE + frame(SETTINGS, 0, 0, b"")
_OPEN = BEGIN + frame(HEADERS, 4, 1, headers(*_CALL))
#: A call whose other side may not send a single byte of data: the initial window is 0.
DEAF_CALL = PREFACE + frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0") + frame(HEADERS, 4, 1, headers(*_CALL))


def noise(chance: Random) -> bytes:
    return chance.randbytes(chance.randint(1, 2_000))


def preface_and_noise(chance: Random) -> bytes:
    return BEGIN + noise(chance)


def wild_frames(chance: Random) -> bytes:
    """Frames of all kinds, most of them where they must not be."""
    made = bytearray(BEGIN if chance.random() < 0.5 else _OPEN)
    for _ in range(chance.randint(1, 20)):
        payload = chance.randbytes(chance.choice((0, 1, 4, 5, 6, 8, 100, 1_000)))
        said = chance.choice((None, None, None, 0, 2**24 - 1, len(payload) + 1))
        made += frame(
            chance.randrange(16), chance.choice(_FLAGS), chance.choice((0, 1, 2, 3, 2**31 - 1)), payload, said
        )
    return bytes(made)


def many_settings(chance: Random) -> bytes:
    one = chance.randrange(1, 10).to_bytes(2, "big") + chance.choice((0, 1, 2**14, 2**31, 2**32 - 1)).to_bytes(4, "big")
    return BEGIN + frame(SETTINGS, 0, 0, one * 50) + frame(SETTINGS, 0, 0, b"") * 500


def many_pings(chance: Random) -> bytes:
    return _OPEN + frame(PING, 0, 0, chance.randbytes(8)) * 300


def opened_and_reset(chance: Random) -> bytes:
    """Streams that are reset as soon as they are there."""
    made = bytearray(BEGIN)
    for number in range(1, 2 * chance.randint(10, 100), 2):
        made += frame(HEADERS, 4, number, headers(*_CALL)) + frame(RST, 0, number, (8).to_bytes(4, "big"))
    return bytes(made)


def endless_headers(chance: Random) -> bytes:
    """Continued and continued, and never done."""
    more = headers((b"x-%d" % chance.randrange(1_000), b"y" * 1_000))
    return BEGIN + frame(HEADERS, 0, 1, headers(*_CALL)) + frame(CONTINUATION, 0, 1, more) * 40


def large_headers(chance: Random) -> bytes:
    return BEGIN + frame(HEADERS, 4, 1, headers(*_CALL, (b"x", b"y" * chance.randint(8_000, 16_000))))


def no_text(chance: Random) -> bytes:
    """A path, a name or a value that is no UTF-8."""
    bad = bytes((chance.randrange(0xF8, 0x100),))
    call = chance.choice((call_of(b"/" + bad), (*_CALL, (b"x-text", bad)), (*_CALL, (b"x-" + bad, b"y"))))
    return BEGIN + frame(HEADERS, 4, 1, headers(*call))


def bad_headers(chance: Random) -> bytes:
    spoiled = bytearray(headers(*_CALL))
    for _ in range(chance.randint(1, 10)):
        spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
    return BEGIN + frame(HEADERS, 4, 1, bytes(spoiled))


def windows(chance: Random) -> bytes:
    step = chance.choice((0, 1, 2**31 - 1)).to_bytes(4, "big")
    return _OPEN + frame(WINDOW, 0, chance.choice((0, 1)), step) * 100


def bad_message(chance: Random) -> bytes:
    """A call that is good up to the length of its message, or the message itself."""
    data = chance.randbytes(chance.randint(0, 500))
    prefix = chance.choice((b"\0\0\0\0\0", b"\0\xff\xff\xff\xff", b"\1\0\0\0\5", b"\7\0\0\0\1"))
    body = message(data) if chance.random() < 0.5 else prefix + data
    return _OPEN + frame(DATA, chance.choice((0, 1)), 1, body)


def another_protocol(chance: Random) -> bytes:
    return chance.choice(_OTHERS)


KINDS: tuple[Callable[[Random], bytes], ...] = (
    noise, preface_and_noise, wild_frames, wild_frames, many_settings, many_pings, opened_and_reset, endless_headers,
    large_headers, no_text, bad_headers, windows, bad_message, another_protocol,
)  # fmt: skip


class Garbler:
    """`tls`: a certificate that the port believes, so that what is in the tunnel gets to HTTP/2."""

    def __init__(self, address: str, tls: TlsSettings, seed: int) -> None:
        host, port = address.rsplit(":", 1)
        self._to, self._chance = (host, int(port)), Random(seed)
        self._trusted = context_of(tls.ca, tls.certificate, tls.key)
        self._stranger = context_of(tls.ca)

    def burst(self) -> str:
        """One connection that comes, says something and goes. Returns how it came, or that it did not get in."""
        how = self._chance.choices(("tls", "no certificate", "cut handshake", "plain"), (14, 2, 2, 2))[0]
        data = self._chance.choice(KINDS)(self._chance)
        stays = self._chance.random() < 0.5
        cut_at = self._chance.randrange(1, 600)
        try:
            plain = socket.create_connection(self._to, TIMEOUT_S)
        except OSError:
            return "no connection"
        with plain, suppress(OSError):
            if how == "plain":
                _say(plain, data, stays=stays)
            elif how == "cut handshake":
                plain.sendall(_hello(self._trusted)[:cut_at])
            else:
                context = self._trusted if how == "tls" else self._stranger
                with context.wrap_socket(plain) as tunnel:
                    _say(tunnel, data, stays=stays)
        return how


def _say(line: socket.socket, data: bytes, *, stays: bool) -> None:
    """`stays`: for what is answered, until the other side has had enough or nothing more comes."""
    line.sendall(data)
    if stays:
        line.settimeout(0.01)
        while line.recv(65_536):
            pass


def context_of(ca: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def _hello(context: ssl.SSLContext) -> bytes:
    """What a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()
