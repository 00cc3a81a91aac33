// SPDX-License-Identifier: GPL-2.0

//! Memory churn: chunks are mapped, filled, kept for some time, verified, and unmapped, so
//! that pages allocated and written *during* a migration are verified after it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant}, //
};

use crate::{
    background::{Background, Stop},
    memory::{Mapping, Verdict}, //
};

pub(crate) struct Parameters {
    pub(crate) chunk_bytes: usize,
    /// Bytes per second that are mapped and filled.
    pub(crate) bytes_per_second: usize,
    pub(crate) keep: Duration,
    pub(crate) seed: u64,
}

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) chunks: u64,
    pub(crate) verdict: Verdict,
    pub(crate) error: Option<String>,
}

struct Chunk {
    mapping: Mapping,
    seed: u64,
    born: Instant,
}

/// Starts the churn. At its end it verifies what is still mapped.
pub(crate) fn start(parameters: Parameters) -> Background<Outcome> {
    Background::start("churn", move |stop| Ok(run(&parameters, &stop)))
}

fn run(parameters: &Parameters, stop: &Stop) -> Outcome {
    let mut outcome = Outcome::default();
    let mut queue = VecDeque::<Chunk>::new();
    let period =
        Duration::from_secs_f64(parameters.chunk_bytes as f64 / parameters.bytes_per_second as f64);
    let mut next = Instant::now();

    while !stop.requested() {
        while queue
            .front()
            .is_some_and(|chunk| chunk.born.elapsed() >= parameters.keep)
        {
            if let Some(chunk) = queue.pop_front() {
                chunk.mapping.verify(chunk.seed, &mut outcome.verdict);
            }
        }
        match new_chunk(parameters, outcome.chunks) {
            Ok(chunk) => queue.push_back(chunk),
            Err(error) => {
                outcome.error = Some(error);
                break;
            }
        }
        outcome.chunks += 1;
        next += period;
        let now = Instant::now();
        if next > now {
            std::thread::sleep(next - now);
        } else {
            // Too slow for the rate: go on from here, do not catch up.
            next = now;
        }
    }
    for chunk in queue {
        chunk.mapping.verify(chunk.seed, &mut outcome.verdict);
    }
    outcome
}

fn new_chunk(parameters: &Parameters, number: u64) -> Result<Chunk, String> {
    let seed = parameters.seed.wrapping_add(number);
    Ok(Chunk {
        mapping: Mapping::filled(parameters.chunk_bytes, seed)?,
        seed,
        born: Instant::now(),
    })
}
