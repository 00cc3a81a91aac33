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

/// Returns the index of the first element of which `before` is not true. It has to be true of all
/// that come before one of which it is.
///
/// That of the standard library has arithmetic that may panic, up to Rust 1.85 at least.
pub fn partition_point<T>(elements: &[T], mut before: impl FnMut(&T) -> bool) -> usize {
    let (mut low, mut high) = (0_usize, elements.len());
    while low < high {
        // Not more than `high`.
        let middle = low.wrapping_add(high.wrapping_sub(low) / 2);
        if elements.get(middle).is_some_and(&mut before) {
            low = middle.wrapping_add(1);
        } else {
            high = middle;
        }
    }
    low
}
