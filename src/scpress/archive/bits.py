"""What a processor counts in a few instructions, and numba has no word for."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# mypy takes the typing context, which numba gives, for an argument of the caller's.
_intrinsic: Any = intrinsic


@_intrinsic
def count_bits(context, bits):  # type: ignore[no-untyped-def]
    """How many bits of a uint64 are set, as int64."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@_intrinsic
def prefetch(context, table, row):  # type: ignore[no-untyped-def]
    """Ask for where a row of a table begins, which is soon read; it may be one behind the last."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = cgutils.unpack_tuple(builder, array.strides)[0]
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        at = builder.gep(builder.bitcast(array.data, byte), [builder.mul(arguments[1], stride)])
        to_cache = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", (byte,), to_cache)
        # To be read, to be kept, and data.
        builder.call(function, [at, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(table, types.uint64), generate


def _counting(number: Any, n: int, comparison: str) -> Any:
    """Compile how many of row `row` of a C-contiguous [rows, n] are above or below a value.

    LLVM unrolls a loop as short as this before it would make vectors of it, and then it takes
    longer than all the rest of a symbol.
    """
    wanted = types.Array(number, 2, "C")
    compare = ir.IRBuilder.icmp_signed if number.signed else ir.IRBuilder.icmp_unsigned
    row_of_numbers = ir.VectorType(ir.IntType(number.bitwidth), n)
    nothing = ir.Constant(row_of_numbers, ir.Undefined)
    all_first = ir.Constant(ir.VectorType(ir.IntType(32), n), None)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        table, row, value = arguments
        data = context.make_array(wanted)(context, builder, table).data
        at = builder.gep(builder.bitcast(data, row_of_numbers.as_pointer()), [row])
        numbers = builder.load(at, align=number.bitwidth // 8)
        one = builder.insert_element(nothing, value, cgutils.int32_t(0))
        values = builder.shuffle_vector(one, nothing, all_first)
        hits = builder.bitcast(compare(builder, comparison, numbers, values), ir.IntType(n))
        return builder.zext(builder.ctpop(hits), ir.IntType(64))

    @_intrinsic
    def count(context, table, row, value):  # type: ignore[no-untyped-def]
        return types.uint64(wanted, types.uint64, number), generate

    return count


count_16_below = _counting(types.uint16, 16, "<")
count_16_above = _counting(types.int32, 16, ">")
count_8_above = _counting(types.int32, 8, ">")
