// SPDX-License-Identifier: GPL-2.0

//! Memory churn: chunks are mapped, filled, kept for some time, verified, and unmapped, so
//! that pages allocated and written *during* a migration are verified after it.

use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, //
    },
    thread::JoinHandle,
    time::{Duration, Instant}, //
};

use crate::memory::{fill_page, page_is, Mapping, Verdict, PAGE, WORDS};

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

pub(crate) struct Churn {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

struct Chunk {
    mapping: Mapping,
    seed: u64,
    born: Instant,
}

impl Chunk {
    fn verify(&self, verdict: &mut Verdict) {
        for index in 0..self.mapping.pages() {
            verdict.add(page_is(
                self.mapping.page(index),
                self.seed,
                index as u64,
                0,
            ));
        }
    }
}

impl Churn {
    pub(crate) fn start(parameters: Parameters) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        Self {
            stop,
            thread: std::thread::spawn(move || run(&parameters, &seen)),
        }
    }

    /// Ends the churn and verifies what is still mapped.
    pub(crate) fn finish(self) -> Result<Outcome, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| "the churn thread died".to_string())
    }
}

fn run(parameters: &Parameters, stop: &AtomicBool) -> Outcome {
    let mut outcome = Outcome::default();
    let mut queue = VecDeque::<Chunk>::new();
    let period =
        Duration::from_secs_f64(parameters.chunk_bytes as f64 / parameters.bytes_per_second as f64);
    let mut next = Instant::now();

    while !stop.load(Ordering::Relaxed) {
        while queue
            .front()
            .is_some_and(|chunk| chunk.born.elapsed() >= parameters.keep)
        {
            if let Some(chunk) = queue.pop_front() {
                chunk.verify(&mut outcome.verdict);
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
        chunk.verify(&mut outcome.verdict);
    }
    outcome
}

fn new_chunk(parameters: &Parameters, number: u64) -> Result<Chunk, String> {
    let mut mapping = Mapping::new(parameters.chunk_bytes.next_multiple_of(PAGE), false)?;
    let seed = parameters.seed.wrapping_add(number);
    for (index, page) in mapping.words_mut().chunks_mut(WORDS).enumerate() {
        fill_page(page, seed, index as u64, 0);
    }
    Ok(Chunk {
        mapping,
        seed,
        born: Instant::now(),
    })
}
