// SPDX-License-Identifier: GPL-2.0

//! Vectors without code that can panic.

use crate::prelude::*;

/// Returns a vector of `len` elements.
///
/// `KVec::push()` and its like have arithmetic that may panic under overflow checks.
pub(crate) fn filled<T>(len: usize, mut element: impl FnMut(usize) -> T) -> Result<KVec<T>> {
    let mut vec = KVec::with_capacity(len, GFP_KERNEL)?;
    for (index, slot) in (0..len).zip(vec.spare_capacity_mut()) {
        slot.write(element(index));
    }
    // SAFETY: The vector was empty and has room for `len` elements, so as many were just written.
    unsafe { vec.inc_len(len) };
    Ok(vec)
}
