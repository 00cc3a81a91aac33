// SPDX-License-Identifier: GPL-2.0

//! Watches the guest's lowest MemFree.

use std::time::Duration;

use crate::background::{Background, Stop};

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) first_kib: u64,
    pub(crate) min_kib: u64,
    pub(crate) last_kib: u64,
    pub(crate) samples: u64,
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

/// Starts to look, once each period.
pub(crate) fn start(period: Duration) -> Background<Outcome> {
    Background::start("MemFree", move |stop| run(period, &stop))
}

fn run(period: Duration, stop: &Stop) -> Result<Outcome, String> {
    let first_kib = mem_free_kib()?;
    let mut outcome = Outcome {
        first_kib,
        min_kib: first_kib,
        last_kib: first_kib,
        samples: 1,
    };
    while !stop.requested() {
        std::thread::sleep(period);
        outcome.last_kib = mem_free_kib()?;
        outcome.min_kib = outcome.min_kib.min(outcome.last_kib);
        outcome.samples += 1;
    }
    Ok(outcome)
}
