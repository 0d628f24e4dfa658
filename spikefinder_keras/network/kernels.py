"""Convolution and LSTM of one trace, compiled by LLVM for the processor at hand.

A channel is a row of float32 samples with zeros before and behind, as 'same' padding wants them. In
a convolution the lanes of a vector are consecutive samples, so that one trace keeps the processor
as busy as many; in the LSTM, whose samples have to wait for each other, they are its gates, and
both directions go on at once.
"""

import ctypes
import functools
import mmap
import sys
from dataclasses import dataclass

from llvmlite import binding, ir

from ..errors import UsageError
from .vector_code import ADDRESS, INTEGER, Code, lanes

INSIDE = ("tanh", "relu")
"""Activations that a convolution has inside."""

MOST_OUTPUTS = 10
"""Channels that one call of a convolution makes; more would not stay in registers."""


@dataclass(frozen=True)
class Convolution:
    """A kernel `f(inputs, weights, biases, outputs, channels, taps, first, end)`.

    Sample t of output c becomes activation(bias[c] + sum over i and k of input_i[t + k]
    weights[i, k, c]) for t from `first` to `end`, and up to `most_beyond()` samples more.
    `inputs` and `outputs` are addresses of tables of addresses of rows; weights `(channel, tap,
    output)`. All numbers but addresses are float32.
    """

    outputs: int
    activation: str | None
    addresses, integers = 4, 4


@dataclass(frozen=True)
class Lstm:
    """A kernel `f(inputs, outputs, weights, scratch, channels, samples)`.

    `outputs`, `weights` and `scratch` have what the directions in `ways` need one after another:
    rows for the states of each unit; addresses of the kernel `(channel, gate)`, the recurrent
    kernel `(unit, gate)` and the bias `(gate)`, whose rows have `gate_lanes()` floats; and
    `scratch_size()` floats. Up to `lanes()` samples behind the end (forward) and before the start
    (backward) are written, too. The gates are Keras': input, forget, cell, output.
    """

    units: int
    gates: str
    ways: tuple
    addresses, integers = 4, 2

    def gate_lanes(self):
        """Floats of a row of its matrices: the gates, then zeros."""
        return lanes() * -(-4 * self.units // lanes())

    def scratch_size(self):
        """Floats for the states of a direction during as many samples as a vector has lanes."""
        return (lanes() + 1) * lanes() * -(-self.units // lanes())


def most_beyond():
    """Samples that a kernel may write before or behind those it is asked for."""
    return 8 * lanes()


@functools.cache
def compiled(kernels):
    """Functions that call kernels, without the interpreter's lock.

    Parameters
    ----------
    kernels : tuple of Convolution and Lstm

    Returns
    -------
    dict of Convolution or Lstm to function

    Raises
    ------
    UsageError
        If the system does not let it.
    """
    if not _may_compile():
        raise UsageError(
            "this system lets no program run what it has compiled (systemd calls that "
            "MemoryDenyWriteExecute, SELinux deny_execmem), and the networks of 2017 need that; "
            "allow it, or predict with universal"
        )
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    module = ir.Module()
    module.triple = binding.get_process_triple()
    for number, kernel in enumerate(kernels):
        write = _write_lstm if isinstance(kernel, Lstm) else _write_convolution
        kind = [ADDRESS] * kernel.addresses + [INTEGER] * kernel.integers
        write(Code(module, f"kernel_{number}", kind), kernel)
    machine = binding.Target.from_triple(module.triple).create_target_machine(
        binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten(), opt=2
    )
    made = binding.parse_assembly(str(module))
    tuning = binding.create_pipeline_tuning_options(speed_level=2)
    builder = binding.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(made, builder)
    code = binding.create_mcjit_compiler(made, machine)
    code.finalize_object()
    functions = {}
    for number, kernel in enumerate(kernels):
        kind = [ctypes.c_void_p] * kernel.addresses + [ctypes.c_int64] * kernel.integers
        function = ctypes.CFUNCTYPE(None, *kind)(code.get_function_address(f"kernel_{number}"))
        function.code = code  # lives as long as its function
        functions[kernel] = function
    return functions


def _may_compile():
    """Whether memory that was written may be run; where not, LLVM would end the program."""
    if sys.platform == "win32":
        return True
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return protect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC) == 0


def _write_convolution(code, kernel):
    inputs, weights, biases, outputs, channels, taps, first, end = code.arguments
    count, b = kernel.outputs, code.b
    most = 20 if code.registers > 16 else 12  # sums that stay in registers
    wide = next(n for n in (8, 4, 2, 1) if n * count <= most or n == 1)  # vectors of a channel
    offsets = [INTEGER(code.lanes * n) for n in range(wide)]
    rows = [code.address(outputs, INTEGER(c)) for c in range(count)]
    sums = [code.same(biases, INTEGER(c)) for c in range(count) for _ in range(wide)]

    time = code.loop(first, end, wide * code.lanes, [])
    channel = code.loop(INTEGER(0), channels, 1, sums)
    row = code.place(code.address(inputs, channel.index), time.index)
    own = code.place(weights, b.mul(channel.index, b.mul(taps, INTEGER(count))))
    tap = code.loop(INTEGER(0), taps, 1, channel.carried)
    x = [code.vector(row, b.add(tap.index, offset)) for offset in offsets]
    here = code.place(own, b.mul(tap.index, INTEGER(count)))
    sums = []
    for c in range(count):
        weight = code.same(here, INTEGER(c))
        old = tap.carried[c * wide : (c + 1) * wide]
        sums += [code.multiply_add(each, weight, sum_) for each, sum_ in zip(x, old, strict=True)]
    sums = channel.end(tap.end(sums))
    for k, total in enumerate(sums):
        made = code.activated(total, kernel.activation)
        code.store(made, rows[k // wide], b.add(time.index, offsets[k % wide]))
    time.end([])
    b.ret_void()


def _write_lstm(code, kernel):
    inputs, outputs, weights, scratch, channels, samples = code.arguments
    b, units, size = code.b, kernel.units, code.lanes
    vectors = range(-(-units // size))  # of the units
    gates = range(kernel.gate_lanes() // size)  # of all gates
    zero, ways = code.constant(0), []
    for number, way in enumerate(kernel.ways):
        matrices = [code.address(weights, INTEGER(3 * number + k)) for k in range(3)]
        own = code.place(scratch, INTEGER(number * kernel.scratch_size()))
        rows = [code.address(outputs, INTEGER(number * units + k)) for k in range(units)]
        ways.append((way == "backward", *matrices, own, rows))

    def state(slot, vector=0):
        """Where in the scratch the states of a sample are; those before the first in slot 0."""
        return b.add(b.mul(slot, INTEGER(size * len(vectors))), INTEGER(size * vector))

    def picked(sums, gate, vector):
        """A gate's lanes, which begin anywhere."""
        k, first = divmod(gate * units + vector * size, size)
        following = sums[min(k + 1, len(sums) - 1)]
        return code.shuffled(sums[k], following, range(first, first + size)) if first else sums[k]

    for *_, own, _ in ways:
        for vector in vectors:
            code.store(zero, own, state(INTEGER(0), vector))
    block = code.loop(INTEGER(0), samples, size, [zero for _ in ways for _ in vectors])
    step = code.loop(INTEGER(0), INTEGER(size), 1, block.carried)
    done, cells = b.add(block.index, step.index), []
    for number, (backward, kernel_, recurrent, bias, own, _) in enumerate(ways):
        time = b.sub(b.sub(samples, INTEGER(1)), done) if backward else done
        sums = [code.vector(bias, INTEGER(size * k)) for k in gates]
        channel = code.loop(INTEGER(0), channels, 1, sums)
        x = code.same(code.address(inputs, channel.index), time)
        row = code.place(kernel_, b.mul(channel.index, INTEGER(kernel.gate_lanes())))
        sums = channel.end([
            code.multiply_add(code.vector(row, INTEGER(size * k)), x, channel.carried[k])
            for k in gates
        ])  # fmt: skip
        unit = code.loop(INTEGER(0), INTEGER(units), 1, sums)
        h = code.same(own, b.add(state(step.index), unit.index))
        row = code.place(recurrent, b.mul(unit.index, INTEGER(kernel.gate_lanes())))
        sums = unit.end([
            code.multiply_add(code.vector(row, INTEGER(size * k)), h, unit.carried[k])
            for k in gates
        ])  # fmt: skip
        for vector in vectors:
            enter, keep, new, leave = (picked(sums, gate, vector) for gate in range(4))
            added = b.fmul(code.gate(enter, kernel.gates), code.tanh(new))
            cell = step.carried[number * len(vectors) + vector]
            cell = code.multiply_add(code.gate(keep, kernel.gates), cell, added)
            h = b.fmul(code.gate(leave, kernel.gates), code.tanh(cell))
            code.store(h, own, state(b.add(step.index, INTEGER(1)), vector))
            cells.append(cell)
    cells = step.end(cells)
    for backward, *_, own, rows in ways:
        slots = range(size, 0, -1) if backward else range(1, size + 1)
        start = b.sub(samples, b.add(block.index, INTEGER(size))) if backward else block.index
        for vector in vectors:
            states = [code.vector(own, state(INTEGER(slot), vector)) for slot in slots]
            first = vector * size
            for row, unit in zip(rows[first : first + size], code.transposed(states), strict=False):
                code.store(unit, row, start)
            last = code.vector(own, state(INTEGER(size), vector))
            code.store(last, own, state(INTEGER(0), vector))
    block.end(cells)
    b.ret_void()
