"""A hint to the processor that an element of an array will be needed soon: loops over random rows wait for less memory.

Source: LLVM Language Reference, `llvm.prefetch`. It changes nothing but time; uncompiled it does nothing.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils as untyped_cgutils
from numba.core import types
from numba.extending import intrinsic as untyped_intrinsic

from write_side.contract.compiled.compiled import DISABLED, njit_inlined

# numba has types for these two that do not say what they take.
cgutils: Any = untyped_cgutils
intrinsic: Any = untyped_intrinsic

AHEAD: Final = 16
"""Rows between the hint and the use: some 0.3 us of work, about what a line takes from memory."""


@intrinsic
def _prefetch_row(typing_context: Any, array: Any, row: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type, row_type = signature.args
        view = context.make_array(array_type)(context, builder, arguments[0])
        index = context.cast(builder, arguments[1], row_type, types.intp)
        strides = cgutils.unpack_tuple(builder, view.strides, array_type.ndim)
        address = cgutils.pointer_add(builder, view.data, builder.mul(index, strides[0]), ir.IntType(8).as_pointer())
        hint = ir.FunctionType(ir.VoidType(), [address.type, *(ir.IntType(32) for _ in range(3))])
        function = cgutils.get_or_insert_function(builder.module, hint, f"llvm.prefetch.{_suffix(address)}")
        builder.call(function, [address, *(ir.Constant(ir.IntType(32), value) for value in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, row), generate


def _suffix(address: Any) -> str:
    return "p0" if getattr(address.type, "is_opaque", False) else "p0i8"


if DISABLED:

    def prefetch_row(array: Any, row: Any) -> None:
        """Does nothing: the specification has no caches."""

else:

    @njit_inlined
    def prefetch_row(array: Any, row: Any) -> None:
        """Fetch the cache line where `array[row]` begins. The row must exist."""
        _prefetch_row(array, row)
