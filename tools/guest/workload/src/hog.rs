// SPDX-License-Identifier: GPL-2.0

//! A process of its own that takes memory, and that the kernel ends first when there is none
//! left, so that the agent outlives it.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdout, Command, Stdio}, //
};

use crate::memory::{Region, Verdict};

/// The first argument that makes this program a hog.
pub(crate) const ARGUMENT: &str = "hog";

pub(crate) struct Hog {
    child: Child,
    output: BufReader<ChildStdout>,
}

/// How a hog's attempt to take its memory ended.
pub(crate) enum Start {
    Filled(Hog),
    /// Ended by this signal before it had all.
    Killed(i32),
}

impl Hog {
    /// Returns when the hog has all its memory, or is dead.
    pub(crate) fn start(bytes: usize, seed: u64) -> Result<Start, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .arg(ARGUMENT)
            .arg(bytes.to_string())
            .arg(seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a hog: {error}"))?;
        let output = child.stdout.take().ok_or("a hog without output")?;
        let mut hog = Self {
            child,
            output: BufReader::new(output),
        };
        if hog.line()? == "filled" {
            return Ok(Start::Filled(hog));
        }
        let status = hog.child.wait().map_err(|error| error.to_string())?;
        status
            .signal()
            .map(Start::Killed)
            .ok_or_else(|| format!("the hog ended with {status}"))
    }

    /// Has the hog verify its memory and end.
    pub(crate) fn finish(mut self) -> Result<Verdict, String> {
        // The hog waits for the end of its input.
        drop(self.child.stdin.take());
        let line = self.line()?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let (pages, wrong) = line
            .split_once(' ')
            .ok_or_else(|| format!("the hog ended with {status}"))?;
        let number = |text: &str| text.parse().map_err(|_| format!("the hog said {line}"));
        Ok(Verdict {
            pages: number(pages)?,
            wrong: number(wrong)?,
        })
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        Ok(line.trim().to_string())
    }
}

/// The hog itself: `hog BYTES SEED`.
pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut number = || {
        arguments
            .next()
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or("usage: agent hog BYTES SEED")
    };
    let (bytes, seed) = (number()?, number()?);
    std::fs::write("/proc/self/oom_score_adj", "1000").map_err(|error| error.to_string())?;
    let region = Region::fill(bytes as usize, seed, false, 1)?;
    say("filled")?;
    std::io::stdin()
        .read_line(&mut String::new())
        .map_err(|error| error.to_string())?;
    let verdict = region.verify();
    say(&format!("{} {}", verdict.pages, verdict.wrong))
}

fn say(text: &str) -> Result<(), String> {
    let mut output = std::io::stdout();
    writeln!(output, "{text}")
        .and_then(|()| output.flush())
        .map_err(|error| error.to_string())
}
