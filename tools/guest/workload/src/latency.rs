// SPDX-License-Identifier: GPL-2.0

//! Allocates and frees pages one after the other, and notes how long the kernel took for each.
//!
//! The region is much larger than what the CPUs keep in lists of their own: a page comes from
//! these, but time and again they have to be filled from the zone, under its lock.

use std::time::Instant;

use crate::{
    background::{Background, Stop},
    memory::{Mapping, PAGE, WORDS}, //
};

#[derive(Default)]
pub(crate) struct Outcome {
    /// Pages that were allocated.
    pub(crate) pages: u64,
    pub(crate) total_ns: u64,
    pub(crate) worst_ns: u64,
}

/// Starts a thread that goes through `bytes` again and again.
pub(crate) fn start(bytes: usize) -> Result<Background<Outcome>, String> {
    let mapping = Mapping::new(bytes.next_multiple_of(PAGE), false)?;
    Ok(Background::start("allocating", move |stop| {
        run(mapping, &stop)
    }))
}

fn run(mut mapping: Mapping, stop: &Stop) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    let bytes = mapping.pages() * PAGE;
    loop {
        for page in mapping.words_mut().chunks_mut(WORDS) {
            if stop.requested() {
                return Ok(outcome);
            }
            let start = Instant::now();
            // SAFETY: In bounds. Volatile, as nobody ever reads it.
            unsafe { page.as_mut_ptr().write_volatile(1) };
            let ns = start.elapsed().as_nanos() as u64;
            outcome.pages += 1;
            outcome.total_ns += ns;
            outcome.worst_ns = outcome.worst_ns.max(ns);
        }
        mapping.give_back(0, bytes)?;
    }
}
