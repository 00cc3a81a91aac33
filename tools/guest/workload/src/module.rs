// SPDX-License-Identifier: GPL-2.0

//! Loads a kernel module and says how long that took, without the time that a shell needs to start
//! `insmod`.

use std::{
    ffi::{c_long, CString},
    fs::File,
    os::fd::AsRawFd,
    time::Instant, //
};

use crate::cpu_time::thread_ns;

const SYS_FINIT_MODULE: c_long = 313;

extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

pub(crate) struct Outcome {
    pub(crate) ns: u64,
    /// What of it this thread was on a CPU.
    pub(crate) cpu_ns: u64,
}

/// Returns when the module's own start is over: a driver has its devices then.
pub(crate) fn load(path: &str, parameters: &str) -> Result<Outcome, String> {
    let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
    let words = CString::new(parameters).map_err(|error| error.to_string())?;
    let (start, before) = (Instant::now(), thread_ns()?);
    // SAFETY: The file is open and the string ends with a NUL, until after the call.
    let result = unsafe {
        syscall(
            SYS_FINIT_MODULE,
            c_long::from(file.as_raw_fd()),
            words.as_ptr(),
            0 as c_long,
        )
    };
    let outcome = Outcome {
        ns: start.elapsed().as_nanos() as u64,
        cpu_ns: thread_ns()? - before,
    };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        return Err(format!("loading {path}: {error}"));
    }
    Ok(outcome)
}
