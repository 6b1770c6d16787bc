"""The formats of other programs, read a second time from their definitions: PF keys, and HLL sketches of Apache DataSketches.

Registers are numpy arrays of ranks, one byte each, 0 for none.
"""

import numpy as np
from datasketches import hll_sketch, hll_union, tgt_hll_type

PF_REGISTERS = 1 << 14
TYPES = [tgt_hll_type.HLL_4, tgt_hll_type.HLL_6, tgt_hll_type.HLL_8]


def pf_registers(value):
    """The registers of a PF key's string. Of a server's own making: not checked."""
    assert value[:4] == b"HYLL"
    body = value[16:]
    if value[4] == 0:
        bits = np.unpackbits(np.frombuffer(body, np.uint8), bitorder="little").reshape(PF_REGISTERS, 6)
        return np.packbits(bits, axis=1, bitorder="little")[:, 0]
    runs, i = [], 0
    while i < len(body):
        opcode = body[i]
        if opcode & 0x80:
            runs.append(((opcode >> 2 & 31) + 1, (opcode & 3) + 1))
        elif opcode & 0x40:
            i += 1
            runs.append((0, ((opcode & 63) << 8 | body[i]) + 1))
        else:
            runs.append((0, opcode + 1))
        i += 1
    registers = np.repeat(np.array([rank for rank, _ in runs], np.uint8), [run for _, run in runs])
    assert len(registers) == PF_REGISTERS
    return registers


def coupons(data):
    """The coupons of an Apache sketch in LIST or SET mode, compact; None if it has registers."""
    mode = data[7] & 3
    if mode == 2:
        return None
    return np.sort(np.frombuffer(data[8:] if mode == 0 else data[12:], np.uint32))


def hll_registers(data, lg_k=None):
    """The registers of an Apache sketch, compact and in LIST or SET mode or of the type HLL_8, at its own lgK or a lower one."""
    assert (data[1], data[2]) == (1, 7)
    k = 1 << data[3]
    listed = coupons(data)
    if listed is None:
        assert data[7] >> 2 == 2
        registers = np.frombuffer(data[40:], np.uint8)
        assert len(registers) == k
    else:
        registers = np.zeros(k, np.uint8)
        np.maximum.at(registers, listed & (k - 1), (listed >> 26).astype(np.uint8))
    if lg_k is not None:
        registers = registers.reshape(-1, 1 << lg_k).max(axis=0)
    return registers


def apache(items, lg_k, kind=tgt_hll_type.HLL_4):
    sketch = hll_sketch(lg_k, kind)
    for item in items:
        sketch.update(item)
    return sketch


def as_hll_8(sketch):
    """The same registers as HLL_8, compact."""
    union = hll_union(sketch.lg_config_k)
    union.update(sketch)
    return union.get_result(tgt_hll_type.HLL_8).serialize_compact()
