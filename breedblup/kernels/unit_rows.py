"""Equations that are set to zero after assembly: rows and columns of the identity, in the pattern that is there."""

from __future__ import annotations

from breedblup.kernels import kernel


@kernel
def set_to_unit(pointer, indices, values, equations):  # type: ignore[no-untyped-def]
    """Make rows and columns of a symmetric CSR matrix those of the identity; columns ascend within a row."""
    for e in equations:
        for p in range(pointer[e], pointer[e + 1]):
            row = indices[p]
            values[p] = 1.0 if row == e else 0.0
            if row == e:
                continue
            low, high = pointer[row], pointer[row + 1] - 1
            while low < high:
                middle = (low + high) // 2
                if indices[middle] < e:
                    low = middle + 1
                else:
                    high = middle
            values[low] = 0.0
