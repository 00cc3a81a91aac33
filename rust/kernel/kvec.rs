// SPDX-License-Identifier: GPL-2.0

//! Vectors without code that can panic.

use crate::prelude::*;

/// Returns a vector of `len` elements.
///
/// `KVec::push()` and its like have arithmetic that may panic under overflow checks.
pub fn filled<T>(len: usize, mut element: impl FnMut(usize) -> T) -> Result<KVec<T>> {
    try_filled(len, |index| Ok(element(index)))
}

/// Returns a vector of `len` elements, or the first error.
pub fn try_filled<T>(len: usize, mut element: impl FnMut(usize) -> Result<T>) -> Result<KVec<T>> {
    let mut vec = KVec::with_capacity(len, GFP_KERNEL)?;
    let mut written = 0;
    let mut result = Ok(());
    for (index, slot) in (0..len).zip(vec.spare_capacity_mut()) {
        match element(index) {
            Ok(element) => slot.write(element),
            Err(error) => {
                result = Err(error);
                break;
            }
        };
        written = index.wrapping_add(1);
    }
    // SAFETY: The vector was empty and has room for `len` elements. So many were just written.
    unsafe { vec.inc_len(written) };
    result.map(|()| vec)
}
