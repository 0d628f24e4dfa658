"""What kernels are written in: code on vectors of floats, for LLVM.

A kernel is written once for vectors of any size; `lanes()` is that of the processor at hand.
"""

import functools
import platform

from llvmlite import binding, ir

FLOAT, INTEGER, ADDRESS = ir.FloatType(), ir.IntType(64), ir.PointerType()

LARGEST = 7.90531110763549805
NUMERATOR = (4.89352455891786e-3, 6.37261928875436e-4, 1.48572235717979e-5, 5.12229709037114e-8,
             -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16)  # fmt: skip
DENOMINATOR = (4.89352518554385e-3, 2.26843463243900e-3, 1.18534705686654e-4, 1.19825839466702e-6)
"""tanh x = x N(x^2) / D(x^2) to a few units in the last place; beyond +-`LARGEST` it is +-1. The
coefficients are those of Eigen, with which TensorFlow computes it."""


@functools.cache
def vectors():
    """How many floats the processor's vectors have, and how many of them it holds."""
    if binding.get_host_cpu_features().get("avx512f"):
        return 16, 32
    return (4, 32) if platform.machine().lower() in ("arm64", "aarch64") else (8, 16)


def lanes():
    """Floats of a vector."""
    return vectors()[0]


class Code:
    """The instructions of a function; `b` appends one, methods of vectors more."""

    def __init__(self, module, name, arguments):
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        self.module, self.arguments = module, function.args
        self.lanes, self.registers = vectors()
        self.kind = ir.VectorType(FLOAT, self.lanes)
        self.b = ir.IRBuilder(function.append_basic_block())

    def constant(self, value):
        return ir.Constant(self.kind, [value] * self.lanes)

    def shuffled(self, one, other, numbers):
        """Lanes by number, those of the other vector behind those of the one."""
        numbers = ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), list(numbers))
        return self.b.shuffle_vector(one, other, numbers)

    def place(self, address, index, kind=FLOAT):
        return self.b.gep(address, [index], source_etype=kind)

    def address(self, table, index):
        return self.b.load(self.place(table, index, ADDRESS), typ=ADDRESS)

    def vector(self, address, index):
        return self.b.load(self.place(address, index), typ=self.kind, align=4)

    def same(self, address, index):
        """A number in all lanes."""
        number = self.b.load(self.place(address, index), typ=FLOAT)
        nothing = ir.Constant(self.kind, ir.Undefined)
        first = self.b.insert_element(nothing, number, ir.IntType(32)(0))
        return self.shuffled(first, nothing, [0] * self.lanes)

    def store(self, vector, address, index):
        self.b.store(vector, self.place(address, index), align=4)

    def multiply_add(self, x, y, z):
        """x y + z, rounded once where the processor can."""
        name = f"llvm.fmuladd.v{self.lanes}f32"
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(self.kind, [self.kind] * 3), name
        )
        return self.b.call(function, [x, y, z])

    def clipped(self, x, least=None, most=None):
        """What is no number stays none."""
        for limit, sign in ((least, ">"), (most, "<")):
            if limit is not None:
                limit = self.constant(limit)
                x = self.b.select(self.b.fcmp_ordered(sign, limit, x), limit, x)
        return x

    def tanh(self, x):
        x = self.clipped(x, -LARGEST, LARGEST)
        square = self.b.fmul(x, x)
        sums = []
        for coefficients in (NUMERATOR, DENOMINATOR):
            *others, total = map(self.constant, coefficients)
            for each in others[::-1]:
                total = self.multiply_add(total, square, each)
            sums.append(total)
        return self.b.fdiv(self.b.fmul(x, sums[0]), sums[1])

    def gate(self, x, kind):
        """Keras 2.0's hard sigmoid, clip(0.2 x + 0.5, 0, 1), or the logistic function."""
        if kind == "hard_sigmoid":
            x = self.multiply_add(x, self.constant(0.2), self.constant(0.5))
            return self.clipped(x, 0, 1)
        half = self.constant(0.5)
        return self.multiply_add(self.tanh(self.b.fmul(x, half)), half, half)

    def activated(self, x, activation):
        if activation == "relu":
            return self.clipped(x, least=0)
        return self.tanh(x) if activation == "tanh" else x

    def transposed(self, rows):
        """As many vectors as they have lanes: lane i of vector k becomes lane k of vector i."""
        rows, bit = list(rows), 1
        while bit < self.lanes:
            every = range(self.lanes)
            low = [self.lanes + (k ^ bit) if k & bit else k for k in every]
            high = [self.lanes + k if k & bit else k | bit for k in every]
            for i in (i for i in every if not i & bit):
                one, other = rows[i], rows[i | bit]
                rows[i] = self.shuffled(one, other, low)
                rows[i | bit] = self.shuffled(one, other, high)
            bit *= 2
        return rows

    def loop(self, first, end, step, carried):
        return _Loop(self.b, first, end, INTEGER(step), carried)


class _Loop:
    """A loop that runs at least once: begin, append what is in it, then `end` it.

    `index` counts from the first number by steps up to the end; `carried` are what the values given
    have become.
    """

    def __init__(self, b, first, end, step, carried):
        self.b, self.last, self.step, before = b, end, step, b.block
        self.block = b.append_basic_block()
        b.branch(self.block)
        b.position_at_end(self.block)
        self.index, *self.carried = self._changing = [
            b.phi(value.type) for value in (first, *carried)
        ]
        for each, value in zip(self._changing, (first, *carried), strict=True):
            each.add_incoming(value, before)

    def end(self, carried):
        """What the carried values are in the end."""
        b = self.b
        index, after = b.add(self.index, self.step), b.append_basic_block()
        for each, value in zip(self._changing, (index, *carried), strict=True):
            each.add_incoming(value, b.block)
        b.cbranch(b.icmp_signed("<", index, self.last), self.block, after)
        b.position_at_end(after)
        return carried
