// SPDX-License-Identifier: GPL-2.0

//! Page faults as fast as they come: threads touch memory that they do not have, give it back, and
//! begin again.

use std::{
    hint::black_box,
    time::{Duration, Instant}, //
};

use crate::memory::{Mapping, HUGE, PAGE};

pub(crate) struct Parameters {
    pub(crate) threads: usize,
    /// What each thread has at most.
    pub(crate) bytes: usize,
    /// Whether a fault is to bring a huge page.
    pub(crate) huge: bool,
    pub(crate) time: Duration,
}

pub(crate) struct Outcome {
    pub(crate) faults: u64,
    pub(crate) time: Duration,
}

/// How many faults there are between two looks at the clock.
const STRIDE: u64 = 16;

/// Returns when `parameters.time` has passed.
pub(crate) fn run(parameters: &Parameters) -> Result<Outcome, String> {
    let bytes = parameters.bytes.next_multiple_of(HUGE).max(HUGE);
    let mut mappings = (0..parameters.threads.max(1))
        .map(|_| Mapping::new(bytes, parameters.huge))
        .collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let end = start + parameters.time;
    let faults = std::thread::scope(|scope| {
        let threads: Vec<_> = mappings
            .iter_mut()
            .map(|mapping| scope.spawn(move || take_and_drop(mapping, parameters.huge, end)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| "a thread that faults died".to_string())?
            })
            .sum::<Result<u64, String>>()
    })?;
    Ok(Outcome {
        faults,
        time: start.elapsed(),
    })
}

fn take_and_drop(mapping: &mut Mapping, huge: bool, end: Instant) -> Result<u64, String> {
    let step = if huge { HUGE } else { PAGE };
    let bytes = mapping.pages() * PAGE;
    let mut faults = 0;
    loop {
        for offset in (0..bytes).step_by(step) {
            // Nobody reads what is written.
            *black_box(&mut mapping.words_mut()[offset / 8]) = 1;
            faults += 1;
            if faults % STRIDE == 0 && Instant::now() >= end {
                return Ok(faults);
            }
        }
        mapping.give_back(0, bytes)?;
    }
}
