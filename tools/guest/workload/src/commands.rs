// SPDX-License-Identifier: GPL-2.0

//! The commands the host may give.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    time::Duration, //
};

use crate::{
    background::Background,
    busy::{self, Busy},
    churn,
    cpu_time,
    faults,
    hog::{self, Hog},
    json::Object,
    latency,
    memory::{Region, Verdict},
    minfree,
    module,
    request::Request,
    rewrite, //
};

#[derive(Default)]
pub(crate) struct Agent {
    regions: BTreeMap<String, Region>,
    busy: Option<Busy>,
    churn: Option<Background<churn::Outcome>>,
    hog: Option<Hog>,
    rewrite: Option<Background<rewrite::Outcome>>,
    min_free: Option<Background<minfree::Outcome>>,
    latency: Option<Background<latency::Outcome>>,
}

type Answer = Result<Object, String>;

const MIB: usize = 1 << 20;

impl Agent {
    pub(crate) fn execute(&mut self, request: &Request) -> Answer {
        match request.command.as_str() {
            "ping" => Ok(Object::new()),
            "meminfo" => Ok(minfree::meminfo()?
                .iter()
                .fold(Object::new(), |object, (name, kib)| {
                    object.number(name, *kib)
                })),
            "run" => run(request),
            "read" => read(request),
            "write" => write(request),
            "fill" => self.fill(request),
            "thin" => self.thin(request),
            "drop" => self.drop_region(request),
            "verify" => self.verify(request),
            "faults" => faults(request),
            "load-module" => load_module(request),
            "busy-start" => self.busy_start(request),
            "busy-count" => self.busy_count(),
            "busy-stop" => self.busy_stop(),
            "churn-start" => self.churn_start(request),
            "churn-stop" => self.churn_stop(),
            "hog-start" => self.hog_start(request),
            "hog-stop" => self.hog_stop(),
            "rewrite-start" => self.rewrite_start(request),
            "rewrite-stop" => self.rewrite_stop(),
            "min-free-start" => self.min_free_start(request),
            "min-free-stop" => self.min_free_stop(),
            "latency-start" => self.latency_start(request),
            "latency-stop" => self.latency_stop(),
            "kernel-time" => Ok(Object::new().number("ns", cpu_time::kernel_ns()?)),
            "spin" => Ok(Object::new().number("ns", cpu_time::spin(request.number("times")?)?)),
            other => Err(format!("unknown command {other}")),
        }
    }

    fn fill(&mut self, request: &Request) -> Answer {
        // What two threads allocate in turns lies in turns: neighbours in memory are not neighbours
        // of the region.
        let threads = if request.switch("in_order") {
            1
        } else {
            std::thread::available_parallelism().map_or(1, usize::from)
        };
        let region = Region::fill(
            request.number("mib")? as usize * MIB,
            request.number("seed")?,
            request.switch("huge"),
            threads,
        )?;
        self.regions
            .insert(request.text("name")?.to_string(), region);
        Ok(Object::new())
    }

    fn thin(&mut self, request: &Request) -> Answer {
        let block = request.number("block")? as usize;
        let name = request.text("name")?;
        let region = self.regions.get_mut(name).ok_or("no such region")?;
        Ok(Object::new().number("freed_bytes", region.free_every_second(block)? as u64))
    }

    fn drop_region(&mut self, request: &Request) -> Answer {
        self.regions
            .remove(request.text("name")?)
            .ok_or("no such region")?;
        Ok(Object::new())
    }

    fn verify(&self, request: &Request) -> Answer {
        let name = request.text("name")?;
        let region = self.regions.get(name).ok_or("no such region")?;
        Ok(verdict(Object::new(), &region.verify()))
    }

    fn busy_start(&mut self, request: &Request) -> Answer {
        if self.busy.is_some() {
            return Err("it is busy already".into());
        }
        self.busy = Some(Busy::start(busy::Parameters {
            chunk_bytes: (request.number("chunk_kib")? as usize).max(4) * 1024,
            peak_bytes: request.number("peak_mib")? as usize * MIB,
            seed: request.number("seed")?,
        }));
        Ok(Object::new())
    }

    fn busy_count(&self) -> Answer {
        let busy = self.busy.as_ref().ok_or("it is not busy")?;
        Ok(Object::new().number("steps", busy.steps()))
    }

    fn busy_stop(&mut self) -> Answer {
        let outcome = self.busy.take().ok_or("it is not busy")?.finish()?;
        Ok(verdict(Object::new(), &outcome))
    }

    fn churn_start(&mut self, request: &Request) -> Answer {
        if self.churn.is_some() {
            return Err("churn runs already".into());
        }
        let parameters = churn::Parameters {
            chunk_bytes: (request.number("chunk_kib")? as usize).max(4) * 1024,
            bytes_per_second: (request.number("kib_per_s")? as usize).max(1) * 1024,
            keep: Duration::from_millis(request.number("keep_ms")?),
            seed: request.number("seed")?,
        };
        self.churn = Some(churn::start(parameters));
        Ok(Object::new())
    }

    fn churn_stop(&mut self) -> Answer {
        let outcome = self.churn.take().ok_or("churn does not run")?.finish()?;
        match outcome.error {
            Some(error) => Err(error),
            None => Ok(verdict(
                Object::new().number("chunks", outcome.chunks),
                &outcome.verdict,
            )),
        }
    }

    /// `signal` is 0 if the hog got all its memory, else what it was ended with.
    fn hog_start(&mut self, request: &Request) -> Answer {
        if self.hog.is_some() {
            return Err("a hog runs already".into());
        }
        let bytes = request.number("mib")? as usize * MIB;
        let signal = match Hog::start(bytes, request.number("seed")?)? {
            hog::Start::Filled(hog) => {
                self.hog = Some(hog);
                0
            }
            hog::Start::Killed(signal) => signal as u64,
        };
        Ok(Object::new().number("signal", signal))
    }

    fn hog_stop(&mut self) -> Answer {
        let hog = self.hog.take().ok_or("no hog runs")?;
        Ok(verdict(Object::new(), &hog.finish()?))
    }

    fn rewrite_start(&mut self, request: &Request) -> Answer {
        if self.rewrite.is_some() {
            return Err("rewriting runs already".into());
        }
        self.rewrite = Some(rewrite::start(
            request.number("mib")? as usize * MIB,
            request.number("kib_per_s")? as usize * 1024,
            request.number("seed")?,
        )?);
        Ok(Object::new())
    }

    fn rewrite_stop(&mut self) -> Answer {
        let outcome = self
            .rewrite
            .take()
            .ok_or("rewriting does not run")?
            .finish()?;
        Ok(verdict(
            Object::new().number("writes", outcome.writes),
            &outcome.verdict,
        ))
    }

    fn min_free_start(&mut self, request: &Request) -> Answer {
        if self.min_free.is_some() {
            return Err("MemFree is watched already".into());
        }
        self.min_free = Some(minfree::start(Duration::from_millis(
            request.number("period_ms")?,
        )));
        Ok(Object::new())
    }

    fn min_free_stop(&mut self) -> Answer {
        let outcome = self
            .min_free
            .take()
            .ok_or("MemFree is not watched")?
            .finish()?;
        Ok(Object::new()
            .number("first_kib", outcome.first_kib)
            .number("min_kib", outcome.min_kib)
            .number("last_kib", outcome.last_kib)
            .number("samples", outcome.samples))
    }

    fn latency_start(&mut self, request: &Request) -> Answer {
        if self.latency.is_some() {
            return Err("a thread allocates already".into());
        }
        self.latency = Some(latency::start(request.number("mib")? as usize * MIB)?);
        Ok(Object::new())
    }

    fn latency_stop(&mut self) -> Answer {
        let outcome = self.latency.take().ok_or("no thread allocates")?.finish()?;
        Ok(Object::new()
            .number("pages", outcome.pages)
            .number("total_ns", outcome.total_ns)
            .number("worst_ns", outcome.worst_ns))
    }
}

fn verdict(object: Object, verdict: &Verdict) -> Object {
    object
        .number("pages", verdict.pages)
        .number("wrong", verdict.wrong)
}

fn faults(request: &Request) -> Answer {
    let outcome = faults::run(&faults::Parameters {
        threads: request.number("threads")? as usize,
        bytes: request.number("mib")? as usize * MIB,
        huge: request.switch("huge"),
        time: Duration::from_millis(request.number("ms")?),
    })?;
    Ok(Object::new()
        .number("faults", outcome.faults)
        .number("ns", outcome.time.as_nanos() as u64))
}

fn load_module(request: &Request) -> Answer {
    let outcome = module::load(request.text("path")?, request.text("parameters")?)?;
    Ok(Object::new()
        .number("ns", outcome.ns)
        .number("cpu_ns", outcome.cpu_ns))
}

fn run(request: &Request) -> Answer {
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(request.text("script")?)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    Ok(Object::new()
        // A signal has no exit code; 255 stands for it.
        .number("code", output.status.code().map_or(255, |code| code as u64))
        .text("out", &String::from_utf8_lossy(&output.stdout))
        .text("err", &String::from_utf8_lossy(&output.stderr)))
}

fn read(request: &Request) -> Answer {
    let path = request.text("path")?;
    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(Object::new().text("data", &String::from_utf8_lossy(&bytes)))
}

fn write(request: &Request) -> Answer {
    let path = request.text("path")?;
    fs::write(path, request.text("data")?).map_err(|error| format!("{path}: {error}"))?;
    Ok(Object::new())
}
