#!/usr/bin/env python3
"""Writes tone.ogg, the sound of the local Orga Cloud: two seconds of A (440 Hz) that swell once and
join end to start, as Ogg Opus (RFC 7845), mono, 20 ms a packet. Go has no Opus encoder without cgo,
so the packets are made once, here, and embedded. The sound is computed, not recorded.

Needs libopus (Debian's libopus0): python3 tone.py > tone.ogg
The bytes differ between versions of libopus; what is heard does not.
"""
import array, ctypes, ctypes.util, math, struct, sys

RATE, FRAME, FREQUENCY, SECONDS = 48000, 960, 440, 2
APPLICATION_AUDIO, SET_BITRATE = 2049, 4002

opus = ctypes.CDLL(ctypes.util.find_library("opus"))
opus.opus_encoder_create.restype = ctypes.c_void_p
error = ctypes.c_int()
encoder = ctypes.c_void_p(opus.opus_encoder_create(RATE, 1, APPLICATION_AUDIO, ctypes.byref(error)))
assert error.value == 0, error.value
opus.opus_encoder_ctl(encoder, SET_BITRATE, 24000)


def sample(i):
    t = i / RATE
    swell = 0.6 - 0.4 * math.cos(2 * math.pi * t / SECONDS)  # never silent: a level meter should move
    voice = math.sin(2 * math.pi * FREQUENCY * t) + 0.12 * math.sin(4 * math.pi * FREQUENCY * t)
    return int(32767 * 0.25 * swell * voice)


# Three rounds are encoded and the middle one is kept: the codec predicts from what came before, and
# what comes before, once the sound loops, is its own end.
packets, out = [], (ctypes.c_ubyte * 1500)()
for start in range(0, 3 * SECONDS * RATE, FRAME):
    pcm = array.array("h", (sample(i) for i in range(start, start + FRAME)))
    n = opus.opus_encode(encoder, (ctypes.c_short * FRAME).from_buffer(pcm), FRAME, out, len(out))
    assert n > 0, n
    packets.append(bytes(out[:n]))
count = SECONDS * RATE // FRAME
packets = packets[count : 2 * count]

CRC = []
for i in range(256):
    r = i << 24
    for _ in range(8):
        r = (r << 1) ^ (0x04C11DB7 if r & 0x80000000 else 0)
    CRC.append(r & 0xFFFFFFFF)


def page(sequence, flags, granule, body):
    lacing = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in body)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 0x4F726761, sequence, 0, len(lacing))
    raw, crc = head + lacing + b"".join(body), 0
    for b in raw:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ CRC[(crc >> 24) ^ b]
    return raw[:22] + struct.pack("<I", crc) + raw[26:]


vendor = b"orga-session"
head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 0, RATE, 0, 0)
tags = struct.pack("<8sI", b"OpusTags", len(vendor)) + vendor + struct.pack("<I", 0)
sys.stdout.buffer.write(page(0, 2, 0, [head]) + page(1, 0, 0, [tags]))
for i, packet in enumerate(packets):  # a packet a page: what reads it needs no lacing
    flags = 4 if i == count - 1 else 0
    sys.stdout.buffer.write(page(i + 2, flags, (i + 1) * FRAME, [packet]))
