// SPDX-License-Identifier: GPL-2.0

//! Watches the guest's lowest MemFree.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, //
    },
    thread::JoinHandle,
    time::Duration, //
};

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) first_kib: u64,
    pub(crate) min_kib: u64,
    pub(crate) last_kib: u64,
    pub(crate) samples: u64,
}

pub(crate) struct MinFree {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Outcome, String>>,
}

pub(crate) fn meminfo() -> Result<Vec<(String, u64)>, String> {
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            let value = rest.split_whitespace().next()?.parse().ok()?;
            Some((name.to_string(), value))
        })
        .collect())
}

fn mem_free_kib() -> Result<u64, String> {
    meminfo()?
        .into_iter()
        .find_map(|(name, value)| (name == "MemFree").then_some(value))
        .ok_or_else(|| "no MemFree in /proc/meminfo".to_string())
}

impl MinFree {
    pub(crate) fn start(period: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        Self {
            stop,
            thread: std::thread::spawn(move || run(period, &seen)),
        }
    }

    pub(crate) fn finish(self) -> Result<Outcome, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| "the MemFree thread died".to_string())?
    }
}

fn run(period: Duration, stop: &AtomicBool) -> Result<Outcome, String> {
    let first_kib = mem_free_kib()?;
    let mut outcome = Outcome {
        first_kib,
        min_kib: first_kib,
        last_kib: first_kib,
        samples: 1,
    };
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(period);
        outcome.last_kib = mem_free_kib()?;
        outcome.min_kib = outcome.min_kib.min(outcome.last_kib);
        outcome.samples += 1;
    }
    Ok(outcome)
}
