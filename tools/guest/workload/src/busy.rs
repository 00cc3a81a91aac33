// SPDX-License-Identifier: GPL-2.0

//! A program that is hungry for memory, and counts how far it gets: it maps and fills chunks until
//! it has as much as it wants, verifies and unmaps one after the other, and begins again.

use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, //
    },
    thread::JoinHandle, //
};

use crate::memory::{fill_page, page_is, Mapping, Verdict, PAGE, WORDS};

pub(crate) struct Parameters {
    pub(crate) chunk_bytes: usize,
    /// What it has at most.
    pub(crate) peak_bytes: usize,
    pub(crate) seed: u64,
}

pub(crate) struct Busy {
    stop: Arc<AtomicBool>,
    /// Chunks that were filled, and those that were verified, so far.
    steps: Arc<AtomicU64>,
    thread: JoinHandle<Result<Verdict, String>>,
}

impl Busy {
    pub(crate) fn start(parameters: Parameters) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let steps = Arc::new(AtomicU64::new(0));
        let (seen, counted) = (stop.clone(), steps.clone());
        Self {
            stop,
            steps,
            thread: std::thread::spawn(move || run(&parameters, &seen, &counted)),
        }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(crate) fn finish(self) -> Result<Verdict, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| "the busy thread died".to_string())?
    }
}

fn run(parameters: &Parameters, stop: &AtomicBool, steps: &AtomicU64) -> Result<Verdict, String> {
    let bytes = parameters.chunk_bytes.next_multiple_of(PAGE);
    let wanted = (parameters.peak_bytes / bytes).max(1);
    let mut verdict = Verdict::default();
    let mut chunks = VecDeque::with_capacity(wanted);
    let mut growing = true;
    while !stop.load(Ordering::Relaxed) {
        let seed = parameters
            .seed
            .wrapping_add(steps.fetch_add(1, Ordering::Relaxed));
        if growing {
            chunks.push_back((filled(bytes, seed)?, seed));
            growing = chunks.len() < wanted;
        } else if let Some((chunk, seed)) = chunks.pop_front() {
            verify(&chunk, seed, &mut verdict);
            growing = chunks.is_empty();
        }
    }
    for (chunk, seed) in chunks {
        verify(&chunk, seed, &mut verdict);
    }
    Ok(verdict)
}

fn filled(bytes: usize, seed: u64) -> Result<Mapping, String> {
    let mut chunk = Mapping::new(bytes, false)?;
    for (index, page) in chunk.words_mut().chunks_mut(WORDS).enumerate() {
        fill_page(page, seed, index as u64, 0);
    }
    Ok(chunk)
}

fn verify(chunk: &Mapping, seed: u64, verdict: &mut Verdict) {
    for index in 0..chunk.pages() {
        verdict.add(page_is(chunk.page(index), seed, index as u64, 0));
    }
}
