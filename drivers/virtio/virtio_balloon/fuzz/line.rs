// SPDX-License-Identifier: GPL-2.0

//! The line that tells the fuzzer what to play.

use kernel::prelude::*;

/// What a line can say.
pub(super) const USAGE: &str =
    "seed=<u64, or hexadecimal with 0x> steps=<1 to 1000000> [first=<step>] [only=<step>,...] \
     [settle=<0|1>] [trace=<0|1>]";

const MAX_STEPS: u64 = 1_000_000;
const MAX_ONLY: usize = 4096;

/// A session to play.
pub(super) struct Order {
    pub(super) seed: u64,
    /// How many steps.
    pub(super) steps: u64,
    /// The number of the first.
    pub(super) first: u64,
    /// The only ones of them that are done, if not all are.
    pub(super) only: Option<KVVec<u64>>,
    /// Whether the driver is waited for after each step; otherwise the seed says so.
    pub(super) settle: Option<bool>,
    pub(super) trace: bool,
}

impl Order {
    /// A session of all steps.
    pub(super) fn new(seed: u64, steps: u64) -> Self {
        Self {
            seed,
            steps,
            first: 0,
            only: None,
            settle: None,
            trace: false,
        }
    }

    /// Reads a line. Returns [`EINVAL`] for anything that is not understood.
    pub(super) fn parse(line: &str) -> Result<Self> {
        let mut order = Self::new(0, 0);
        let mut seed = None;
        for word in line.split_ascii_whitespace() {
            let (key, value) = word.split_once('=').ok_or(EINVAL)?;
            match key {
                "seed" => seed = Some(number(value)?),
                "steps" => order.steps = number(value)?,
                "first" => order.first = number(value)?,
                "only" => order.only = Some(list(value)?),
                "settle" => order.settle = Some(switch(value)?),
                "trace" => order.trace = switch(value)?,
                _ => return Err(EINVAL),
            }
        }
        order.seed = seed.ok_or(EINVAL)?;
        if !(1..=MAX_STEPS).contains(&order.steps) || order.first > MAX_STEPS {
            return Err(EINVAL);
        }
        Ok(order)
    }
}

fn number(text: &str) -> Result<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // The library takes a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(EINVAL);
    }
    u64::from_str_radix(digits, radix).map_err(|_| EINVAL)
}

fn switch(text: &str) -> Result<bool> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(EINVAL),
    }
}

fn list(text: &str) -> Result<KVVec<u64>> {
    let mut all = KVVec::new();
    for word in text.split(',') {
        if all.len() >= MAX_ONLY {
            return Err(E2BIG);
        }
        all.push(number(word)?, GFP_KERNEL)?;
    }
    Ok(all)
}
