"""SIMD registers as numba values: the few instructions that the fast kernels are written in.

Numba compiles loops over numbers, and leaves it to the compiler which of them share a register. A fast
product of signs must decide that itself: so here are values that *are* registers, and functions of one
instruction each. ``load`` reads a register from an array, ``broadcast`` fills one with a single number.

Source: Intel, *Intrinsics Guide*; LLVM, *Language Reference*.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

BYTE, SHORT, INT, LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))


class Register(types.Type):
    """Numba's type of a register of ``lanes`` integers of ``bits`` bits."""

    def __init__(self, bits: int, lanes: int) -> None:
        self.vector = ir.VectorType(ir.IntType(bits), lanes)
        super().__init__(name=f"register {lanes} x {bits}")


@register_model(Register)
class _RegisterModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Register) -> None:
        super().__init__(manager, kind, kind.vector)


def pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, pointee: Any) -> Any:
    """Address of element ``index`` of an array's data, as a pointer to ``pointee``."""
    data = context.make_array(array_type)(context, builder, array).data
    offset = builder.mul(index, ir.Constant(LONG, array_type.dtype.bitwidth // 8))
    start = builder.bitcast(data, ir.PointerType(BYTE))
    return builder.bitcast(builder.gep(start, [offset]), ir.PointerType(pointee))


def constant(vector: Any, value: int) -> Any:
    """A register with the same number in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def fill(builder: Any, vector: Any, number: Any) -> Any:
    """A register filled with a number that is known at run time."""
    empty = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, empty, constant(ir.VectorType(INT, vector.count), 0))


def call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call an instruction by its LLVM name."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def unaligned(instruction: Any) -> Any:
    """Mark a load or store as aligned to single bytes only."""
    instruction.align = 1
    return instruction


def zero(register: Register) -> Any:
    """A function without arguments that gives a register of zeros."""

    @intrinsic
    def zeros(typing: Any) -> Any:
        return register(), lambda context, builder, signature, args: constant(register.vector, 0)

    return zeros


def load(register: Register) -> Any:
    """A function of (array, index) that reads a register."""

    @intrinsic
    def loaded(typing: Any, array: Any, index: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = pointer(context, builder, signature.args[0], args[0], args[1], register.vector)
            return unaligned(builder.load(at))

        return register(array, types.intp), code

    return loaded


def copy(register: Register) -> Any:
    """A function of (out, index, source, index, turned) that copies a register, lanes xor ``turned``."""

    @intrinsic
    def copied(typing: Any, out: Any, put: Any, source: Any, get: Any, turned: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            (out, source), vector = signature.args[::2][:2], register.vector
            at = pointer(context, builder, source, args[2], args[3], vector)
            target = pointer(context, builder, out, args[0], args[1], vector)
            lanes = builder.xor(unaligned(builder.load(at)), fill(builder, vector, args[4]))
            unaligned(builder.store(lanes, target))
            return context.get_dummy_value()

        return types.none(out, types.intp, source, types.intp, types.uint64), code

    return copied


def store_products(register: Register) -> Any:
    """A function of (out, index, differences, length) that writes length - 2 differences as integers."""
    ints = ir.VectorType(INT, register.vector.count)

    @intrinsic
    def stored(typing: Any, out: Any, index: Any, differences: Any, length: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            differences = builder.zext(args[2], ints)
            lengths = fill(builder, ints, builder.trunc(args[3], INT))
            products = builder.sub(lengths, builder.add(differences, differences))
            at = pointer(context, builder, signature.args[0], args[0], args[1], ints)
            unaligned(builder.store(products, at))
            return context.get_dummy_value()

        return types.none(out, types.intp, register, types.intp), code

    return stored


def store_reached(register: Register) -> Any:
    """A function of (out, index, y, levels, at): bits of y >= level, for ints or floats."""
    bit_each = ir.IntType(register.vector.count)

    @intrinsic
    def stored(typing: Any, out: Any, index: Any, y: Any, levels: Any, at: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            real = isinstance(signature.args[3].dtype, types.Float)
            vector = ir.VectorType(ir.FloatType(), register.vector.count) if real else register.vector
            where = pointer(context, builder, signature.args[3], args[3], args[4], vector)
            compare = builder.fcmp_ordered if real else builder.icmp_signed
            above = compare(">=", builder.bitcast(args[2], vector), unaligned(builder.load(where)))
            target = pointer(context, builder, signature.args[0], args[0], args[1], bit_each)
            unaligned(builder.store(builder.bitcast(above, bit_each), target))
            return context.get_dummy_value()

        return types.none(out, types.intp, register, levels, types.intp), code

    return stored
