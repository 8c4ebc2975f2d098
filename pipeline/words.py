"""Instructions on 64-bit words that numba has no name for."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _trailing_zeros(_context: Any, _word: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        # Of 0 the instruction may say anything.
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


# The number of zero bits below the lowest one of a word that is not 0, as a signed integer.
count_trailing_zeros: Any = intrinsic(_trailing_zeros)
