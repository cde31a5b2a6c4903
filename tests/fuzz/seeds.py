#!/usr/bin/python3
# SPDX-License-Identifier: ISC
# seeds.py - files for the fuzz targets to start from, made where none are kept
#
#   seeds.py DIR      DIR/fuzz_conf, fuzz_inpost, fuzz_key, fuzz_lane,
#                     fuzz_queue, fuzz_recv
import os
import re
import struct
import sys

top = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


# ---- fuzz_conf: each key with a value of its kind, and what is refused ----

def values(kind):
    return {
        'SIZE': ['64M', '1T', '4k'], 'NUM': ['1', '16', '-1'],
        'MS': ['1500', '2s', '7d'], 'BOOL': ['yes', 'off', 'maybe'],
        'HOSTPORT': ['127.0.0.1:24224', '[::1]:80', 'nowhere'],
        'PATH': ['/tmp/x', 'relative', '/a/${HOME}'],
        'LIST': ['a,b, c', '10.0.0.1:24224,10.0.0.2:24224', ',,'],
        'ENUM': ['auto', 'otel', 'none'],
        'SECRET': ['${TOKEN}', '"with blanks "', ''],
    }.get(kind, ['text', '"a; b"', '${A:-x}'])


def conf():
    text = open(os.path.join(top, 'src/config/keys.def')).read()
    keys = re.findall(r'KEY\((\w+),\s*(\w+),\s*CONF_(\w+)', text)
    assert len(keys) > 20, keys
    for i in range(3):
        for section, key, kind in keys:
            value = values(kind)[i]
            yield (b'\x1c\n' +
                   f'[{section}]\n{key} = {value}\n'.encode())
    for section, key, kind in keys:
        name = f'EMPLOGD_{section}_{key}'.upper()
        yield b'\x01' + f'{name}={values(kind)[0]}\n\n[common]\n'.encode()
    yield b'\x1c\n' + open(os.path.join(top, 'contrib/emplogd.conf'),
                           'rb').read()


# ---- fuzz_key: the four messages, whole, cut and of the wrong kind ----

def text(s):
    b = s.encode()
    if len(b) < 32:
        return bytes([0xa0 + len(b)]) + b
    return b'\xd9' + bytes([len(b)]) + b


def blob(b):
    return b'\xc4' + bytes([len(b)]) + b


def helo(nonce, auth, more):
    return (b'\x92' + text('HELO') + bytes([0x82 + more]) + text('nonce') +
            nonce + text('auth') + auth +
            (text('keepalive') + b'\xc3' if more else b''))


def key():
    nonces = [blob(bytes(range(16))), blob(b''), blob(b'n' * 64),
              text('sixteen byte str'), blob(b'n' * 65), b'\xc0']
    messages = [(0, helo(n, a, m)) for n in nonces
                for a in [text(''), blob(b'a' * 16), b'\xc2'] for m in [0, 1]]
    for fields in range(4, 8):
        for salt in [text('s' * 32), blob(b's' * 16), text('')]:
            ping = [text('PING'), text('host'), salt, text('d' * 128),
                    text('user'), text('e' * 128), b'\xc0']
            messages.append((2, bytes([0x90 + fields]) +
                             b''.join(ping[:fields])))
    for yes in [b'\xc3', b'\xc2', b'\x01']:
        for why in ['', 'shared key mismatch', 'w' * 200]:
            messages.append((4, b'\x95' + text('PONG') + yes + text(why) +
                             text('server') + text('f' * 128)))
    for kind, m in messages:
        yield bytes([kind]) + m
        yield bytes([kind | 1]) + m + m[:7]
        yield bytes([kind]) + m[:len(m) // 2]


# ---- fuzz_queue: segments as the queue writes them; the target seals them --

def frame(kind, seq, stream, frm, body, identity=b'\x80', number=1):
    size = (96 + len(identity) + len(body) + 7) // 8 * 8
    to = frm + len(body) if kind == 1 else 0
    head = struct.pack('<Q4sBBBBHHIIIQQ16sQQQQ', 0, b'EMQF', 1, kind, 0, 0, 0,
                       len(identity), len(body), 1 if kind == 1 else 0, 0, 0,
                       seq, stream, frm if kind == 1 else number, to,
                       1700000000 * 10 ** 9, 0)
    return (head + identity + body).ljust(size, b'\0')


def ledger(done, streams):
    out = struct.pack('<9QII', 0, 3, 3, 0, 0, 0, 0, 0, 0, len(done), 0)
    out += b''.join(struct.pack('<QQ', *r) for r in done)
    out += struct.pack('<II', 1, len(streams))
    for id_, flags, ranges in streams:
        out += struct.pack('<16sBBHIQ', id_, flags, 0, 0, len(ranges), 1)
        out += b''.join(struct.pack('<QQ', *r) for r in ranges)
    return out


def segment(number, seqs, done, streams, record):
    me = b'q' * 16
    first = frame(3, seqs[0], me, 0, ledger(done, streams), b'', number)
    out = first.ljust(4096, b'\0')
    for seq in seqs:
        out += frame(1, seq, bytes([seq % 3 + 1]) * 16, seq * 100, record)
    return out.ljust((len(out) + 4095) // 4096 * 4096, b'\0')


def queue():
    record = b'\x92\x00\x81\xa1k\xa5value'
    golden = open(os.path.join(top, 'tests/golden/queue-segment-v1.bin'),
                  'rb').read()
    files = []
    for n in range(8):
        one = segment(1, range(n + 1), [], [], record * (n + 1))
        two = segment(2, range(n + 1, n + 4), [(0, n)],
                      [(b'\x01' * 16, n % 4, [(0, 50), (70, 90)])], record)
        files += [[one], [one, two], [two], [two, one], [one[:-4096], two],
                  [one, two[:200 * n + 100]]]
    files += [[golden], [golden[:5000]], [golden, golden]]
    for i, parts in enumerate(files):
        out = bytes([1 | (i % 2) << 2])
        for p in parts:
            p = p[:len(p) // 16 * 16]
            out += struct.pack('<H', len(p) // 16) + p
        yield out[:60000]


# ---- fuzz_recv: the messages that are kept, one and two of them ----

def recv():
    kept = os.path.join(top, 'tests/fuzz/corpus/fuzz_message')
    messages = [open(os.path.join(kept, f), 'rb').read()
                for f in sorted(os.listdir(kept))]
    for i, m in enumerate(messages):
        yield bytes([i % 32]) + m
        yield b'\xff' + m + messages[i - 1]


# ---- fuzz_inpost: bodies of chunks as an agent posts them, and the kept ones -

def ours(k, frm, body, more=b'', fields=0):
    """A message of an agent of ours: range [frm, frm + len(body)) of stream k."""
    option = (b'\x83' + text('chunk') + text(f'{k:012}{frm:012}') +
              text('fluent_signal') + b'\x00' + text('emplog') +
              bytes([0x83 + fields]) + text('v') + b'\x01' + text('s') +
              blob(bytes([k]) * 16) + text('f') + b'\xcd' +
              struct.pack('>H', frm) + more)
    return b'\x93' + text('emplog.agent') + blob(body) + option


def inpost():
    kept = os.path.join(top, 'tests/fuzz/corpus/fuzz_message')
    messages = [open(os.path.join(kept, f), 'rb').read()
                for f in sorted(os.listdir(kept))]
    for i, m in enumerate(messages):
        yield bytes([i % 16, 255]) + m
        yield bytes([i * 5 % 16, i % 8]) + m + b'\xc0' + messages[i - 1] + m
    record = b'\x92\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x00\x81\xa1k\xa1v'
    for n in (1, 2, 5):
        body = record * n
        chunks = b''.join(ours(1, k * len(body), body) for k in range(n))
        others = b''.join(ours(2 + k, 0, body, text('b') + b'\xc3', 1) for k in range(n))
        cut = ours(1, len(record), body)        # overlaps
        end = (b'\x93' + text('t') + blob(b'') + b'\x81' + text('emplog') + b'\x83' +
               text('v') + b'\x01' + text('s') + blob(b'\x01' * 16) + text('end') + b'\xc3')
        for flags in (0, 2, 4, 8, 12):
            yield bytes([flags, 255]) + chunks + cut + end
            yield bytes([flags, 255]) + others + chunks[:-3]
            yield bytes([flags, 1]) + chunks + others


# ---- fuzz_lane: lies of each kind, in each word ----

def lane():
    def step(at, v):
        return struct.pack('<HQ', at, v & (1 << 64) - 1)
    words = [0, 8, 64, 72, 112, 120, 128, 136, 216]       # the producer's
    words += [4096 + w for w in (0, 64, 128, 136)]        # the agent's
    words += [8192, 8200, 8192 + 16, 12288, 12296]        # marks, jobs
    some = [1, 100, 65536, 65537, 1 << 20, 1 << 63, (1 << 64) - 1]
    for w in words:
        for v in some:
            good = step(0, 4000) + step(8, 40) + step(8208, 1024)
            bad = step(w, v) + step(0, 5000)
            body = good.ljust(len(bad), b'\0')
            cut = bytes([v & 1, w & 0xff, w >> 8])
            half = cut + body
            yield half + (bad * 3)[:len(half)]


def main():
    for make in (conf, inpost, key, queue, recv, lane):
        to = os.path.join(sys.argv[1], 'fuzz_' + make.__name__)
        os.makedirs(to, exist_ok=True)
        n = 0
        for n, content in enumerate(make(), 1):
            with open(os.path.join(to, f'seed-{n:03}'), 'wb') as f:
                f.write(content)
        assert n >= 50, (make.__name__, n)
        print(f'{make.__name__}: {n} files')


main()
