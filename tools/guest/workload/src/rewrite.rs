// SPDX-License-Identifier: GPL-2.0

//! A region that is rewritten page by page, each time with a new generation; every page is
//! verified against what it had before it is rewritten, and all of them at the end.

use std::time::Duration;

use crate::{
    background::{Background, Stop},
    memory::{fill_page, page_is, Mapping, Verdict, PAGE, WORDS}, //
};

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) writes: u64,
    pub(crate) verdict: Verdict,
}

/// Pages written between two pauses.
const STRIDE: u64 = 64;

/// Starts to fill a region and to rewrite it.
pub(crate) fn start(
    bytes: usize,
    bytes_per_second: usize,
    seed: u64,
) -> Result<Background<Outcome>, String> {
    let pause =
        Duration::from_secs_f64(STRIDE as f64 * PAGE as f64 / bytes_per_second.max(1) as f64);
    let mapping = Mapping::new(bytes.next_multiple_of(PAGE), false)?;
    Ok(Background::start("rewriting", move |stop| {
        Ok(run(mapping, pause, seed, &stop))
    }))
}

fn run(mut mapping: Mapping, pause: Duration, seed: u64, stop: &Stop) -> Outcome {
    let mut outcome = Outcome::default();
    let mut generations = vec![0u64; mapping.pages()];
    mapping.fill(seed);
    'rounds: loop {
        for (index, page) in mapping.words_mut().chunks_mut(WORDS).enumerate() {
            if stop.requested() {
                break 'rounds;
            }
            let old = generations[index];
            outcome.verdict.add(page_is(page, seed, index as u64, old));
            fill_page(page, seed, index as u64, old + 1);
            generations[index] = old + 1;
            outcome.writes += 1;
            if outcome.writes % STRIDE == 0 {
                std::thread::sleep(pause);
            }
        }
    }
    for (index, generation) in generations.iter().enumerate() {
        outcome.verdict.add(page_is(
            mapping.page(index),
            seed,
            index as u64,
            *generation,
        ));
    }
    outcome
}
