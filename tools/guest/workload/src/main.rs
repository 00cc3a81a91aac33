// SPDX-License-Identifier: GPL-2.0

//! Guest agent: obeys the host over a serial port and is the workload of the guest tests.
//!
//! A request is one line, `id command key=value…` (values percent-encoded); the answer is one
//! line of JSON with the same id. `tools/guest/agent.py` is the other end.

mod background;
mod busy;
mod churn;
mod commands;
mod cpu_time;
mod faults;
mod hog;
mod json;
mod latency;
mod memory;
mod minfree;
mod module;
mod request;
mod rewrite;

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Write}, //
};

use crate::{commands::Agent, json::Object, request::Request};

fn main() {
    if let Err(error) = serve() {
        eprintln!("guest agent: {error}");
        std::process::exit(1);
    }
}

fn serve() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: agent DEVICE")?;
    if path == hog::ARGUMENT {
        return hog::run(arguments);
    }
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| format!("{path}: {error}"))
    };
    let mut output = open()?;
    let mut input = BufReader::new(open()?);
    let mut agent = Agent::default();

    send(&mut output, Object::new().bool("hello", true))?;
    loop {
        let mut line = String::new();
        if input
            .read_line(&mut line)
            .map_err(|error| error.to_string())?
            == 0
        {
            return Err(format!("{path} was closed"));
        }
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let answer = match Request::parse(line) {
            Ok(request) => {
                let id = request.id;
                match agent.execute(&request) {
                    Ok(object) => object.number("id", id).bool("ok", true),
                    Err(error) => failure(id, &error),
                }
            }
            Err(error) => failure(0, &error),
        };
        send(&mut output, answer)?;
    }
}

fn failure(id: u64, error: &str) -> Object {
    Object::new()
        .number("id", id)
        .bool("ok", false)
        .text("error", error)
}

fn send(output: &mut impl Write, object: Object) -> Result<(), String> {
    output
        .write_all(format!("{}\n", object.finish()).as_bytes())
        .map_err(|error| error.to_string())
}
