// SPDX-License-Identifier: GPL-2.0

//! A program that is hungry for memory, and counts how far it gets: it maps and fills chunks until
//! it has as much as it wants, verifies and unmaps one after the other, and begins again.

use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, //
    }, //
};

use crate::{
    background::{Background, Stop},
    memory::{Mapping, Verdict, PAGE}, //
};

pub(crate) struct Parameters {
    pub(crate) chunk_bytes: usize,
    /// What it has at most.
    pub(crate) peak_bytes: usize,
    pub(crate) seed: u64,
}

pub(crate) struct Busy {
    /// Chunks that were filled, and those that were verified, so far.
    steps: Arc<AtomicU64>,
    work: Background<Verdict>,
}

impl Busy {
    pub(crate) fn start(parameters: Parameters) -> Self {
        let steps = Arc::new(AtomicU64::new(0));
        let counted = steps.clone();
        Self {
            steps,
            work: Background::start("busy", move |stop| run(&parameters, &stop, &counted)),
        }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(crate) fn finish(self) -> Result<Verdict, String> {
        self.work.finish()
    }
}

fn run(parameters: &Parameters, stop: &Stop, steps: &AtomicU64) -> Result<Verdict, String> {
    let bytes = parameters.chunk_bytes.next_multiple_of(PAGE);
    let wanted = (parameters.peak_bytes / bytes).max(1);
    let mut verdict = Verdict::default();
    let mut chunks = VecDeque::with_capacity(wanted);
    let mut growing = true;
    while !stop.requested() {
        let seed = parameters
            .seed
            .wrapping_add(steps.fetch_add(1, Ordering::Relaxed));
        if growing {
            chunks.push_back((Mapping::filled(bytes, seed)?, seed));
            growing = chunks.len() < wanted;
        } else if let Some((chunk, seed)) = chunks.pop_front() {
            chunk.verify(seed, &mut verdict);
            growing = chunks.is_empty();
        }
    }
    for (chunk, seed) in chunks {
        chunk.verify(seed, &mut verdict);
    }
    Ok(verdict)
}
