# SPDX-License-Identifier: ISC
"""words.py - bytes to send: msgpack, Forward messages, HTTP requests

The vocabulary of tests/hostile.tsv for its rows about ports; hostile.py
documents it.  Nothing here knows emplogd: a wrong message is as easily made
as a right one.
"""

import gzip
import random as rng
import struct
import time


class Raw(bytes):
    """Bytes that are msgpack already."""


class Send:
    """Bytes, and what is done with the connection when they are sent."""

    def __init__(self, data, end):
        self.data, self.end = data, end


def _length(n, short, base, codes):
    """A header whose count is n; codes are for 8 (or none), 16, 32 bits."""
    if n < short:
        return bytes([base | n])
    c8, c16, c32 = codes
    if c8 and n < 1 << 8:
        return struct.pack('>BB', c8, n)
    if n < 1 << 16:
        return struct.pack('>BH', c16, n)
    return struct.pack('>BI', c32, n)


def _integer(n):
    if -32 <= n < 128:
        return struct.pack('b', n)
    for code, kind, least, most in (
            (0xcc, 'B', 0, 1 << 8), (0xcd, 'H', 0, 1 << 16),
            (0xce, 'I', 0, 1 << 32), (0xcf, 'Q', 0, 1 << 64),
            (0xd3, 'q', -1 << 63, 0)):
        if least <= n < most:
            return struct.pack('>B' + kind, code, n)
    raise ValueError(n)


def m(x):
    """A value as msgpack: Raw as it is, bytes as bin."""
    if isinstance(x, Raw):
        return bytes(x)
    if x is None or isinstance(x, bool):
        return {None: b'\xc0', False: b'\xc2', True: b'\xc3'}[x]
    if isinstance(x, int):
        return _integer(x)
    if isinstance(x, float):
        return struct.pack('>Bd', 0xcb, x)
    if isinstance(x, str):
        b = x.encode('utf-8', 'surrogatepass')
        return _length(len(b), 32, 0xa0, (0xd9, 0xda, 0xdb)) + b
    if isinstance(x, (bytes, bytearray)):
        return _length(len(x), 0, 0, (0xc4, 0xc5, 0xc6)) + bytes(x)
    if isinstance(x, dict):
        return _length(len(x), 16, 0x80, (0, 0xde, 0xdf)) + b''.join(
            m(k) + m(v) for k, v in x.items())
    return _length(len(x), 16, 0x90, (0, 0xdc, 0xdd)) + b''.join(map(m, x))


def ext(kind, data):
    fixed = {1: 0xd4, 2: 0xd5, 4: 0xd6, 8: 0xd7, 16: 0xd8}.get(len(data))
    if fixed:
        return Raw(struct.pack('>Bb', fixed, kind) + data)
    return Raw(struct.pack('>BBb', 0xc7, len(data), kind) + data)


def time_now(s=None, ns=0):
    return ext(0, struct.pack('>II', int(time.time()) if s is None else s, ns))


def deep(levels):
    """A value of so many nested arrays."""
    return Raw(b'\x91' * levels + b'\xc0')


def entry(record, at=None):
    return Raw(m([time_now() if at is None else at, record]))


def entries(row, n=1, start=0):
    return Raw(b''.join(entry({'message': f'{row} {i}', 'row': row})
                        for i in range(start, start + n)))


def packed(tag, body, option=None):
    return m([tag, bytes(body)] + ([] if option is None else [option]))


def random(n, first=None, seed=1):
    b = rng.Random(seed).randbytes(n)
    return b if first is None else bytes([first]) + b[1:]


def gz(data):
    return gzip.compress(bytes(data), 9)


HELLO = bytes.fromhex(          # a TLS 1.2 ClientHello without extensions
    '16030100310100002d0303' + '5a' * 32 + '00000600ff002f00350100')


def http(method, path, body=b'', **headers):
    """Names of headers with _ for -; Content-Length unless it is given."""
    names = {k.replace('_', '-'): v for k, v in headers.items()}
    names.setdefault('Host', 'localhost')
    if 'Transfer-Encoding' not in names:
        names.setdefault('Content-Length', len(body))
    head = ''.join(f'{k}: {v}\r\n' for k, v in names.items())
    return f'{method} {path} HTTP/1.1\r\n{head}\r\n'.encode() + body


# ---- reading answers ----

def _take(b, at, form):
    size = struct.calcsize(form)
    if len(b) < at + size:
        raise EOFError
    return struct.unpack_from(form, b, at)[0], at + size


def unpack(b, at=0):
    """The value at b[at:] and where it ends; EOFError when it is cut off.

    Only what messages between roles are made of: maps, strings, binaries,
    unsigned integers, nil and booleans.
    """
    c, at = _take(b, at, 'B')
    if c < 0x80:
        return c, at
    if c in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[c], at
    forms = {0xc4: 'B', 0xd9: 'B', 0xcc: 'B', 0xc5: '>H', 0xda: '>H',
             0xcd: '>H', 0xc6: '>I', 0xdb: '>I', 0xce: '>I', 0xcf: '>Q'}
    if c & 0xf0 == 0x80:
        out = {}
        for _ in range(c & 15):
            k, at = unpack(b, at)
            out[k], at = unpack(b, at)
        return out, at
    if c & 0xe0 == 0xa0:
        n = c & 31
    elif c in forms:
        n, at = _take(b, at, forms[c])
        if 0xcc <= c <= 0xcf:
            return n, at
    else:
        raise ValueError(f'no part of a message: {c:#x}')
    if len(b) < at + n:
        raise EOFError
    data = bytes(b[at:at + n])
    return (data if c in (0xc4, 0xc5, 0xc6) else data.decode()), at + n
