// SPDX-License-Identifier: GPL-2.0

//! CPU time: that of the kernel's own threads, and that of a loop whose length is known.
//!
//! Where the guest's clock counts instructions, this is their number.

use std::{arch::asm, ffi::c_int, fs};

/// `kthreadd`, the parent of all other threads of the kernel.
const KTHREADD: u64 = 2;

const CLOCK_THREAD_CPUTIME_ID: c_int = 3;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
}

/// Returns how long the kernel's threads have run up to now, in nanoseconds, all together.
pub(crate) fn kernel_ns() -> Result<u64, String> {
    let mut total = 0;
    for entry in fs::read_dir("/proc").map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u64>().ok()) else {
            continue;
        };
        // Threads end, and the time of those that did is not looked for.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if pid != KTHREADD && parent(&stat) != Some(KTHREADD) {
            continue;
        }
        if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/sched")) {
            total += run_time(&text)?;
        }
    }
    Ok(total)
}

/// Returns the parent in the text of `/proc/PID/stat`: the second field after the name, which
/// may have anything in it.
fn parent(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the time in the text of `/proc/PID/sched`, where it is in milliseconds with six digits
/// after the point.
fn run_time(sched: &str) -> Result<u64, String> {
    sched
        .lines()
        .find(|line| line.starts_with("se.sum_exec_runtime"))
        .and_then(|line| line.rsplit_once(':'))
        .and_then(|(_, value)| value.trim().split_once('.'))
        .and_then(|(ms, ns)| Some((ms.parse::<u64>().ok()?, ns.parse::<u64>().ok()?)))
        .map(|(ms, ns)| ms * 1_000_000 + ns)
        .ok_or_else(|| "there is no se.sum_exec_runtime in /proc/PID/sched".to_string())
}

/// Executes two instructions, and that so many times; returns the thread's time for it.
pub(crate) fn spin(times: u64) -> Result<u64, String> {
    if times == 0 {
        return Err("spin: times=0 would take for ever".into());
    }
    let before = thread_ns()?;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: It changes nothing but the register.
    unsafe {
        asm!("2:", "dec {0}", "jnz 2b", inout(reg) times => _, options(nomem, nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: As above.
    unsafe {
        asm!("2:", "subs {0}, {0}, #1", "b.ne 2b", inout(reg) times => _, options(nomem, nostack));
    }
    Ok(thread_ns()? - before)
}

/// Returns how long this thread has run up to now.
pub(crate) fn thread_ns() -> Result<u64, String> {
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: `time` is where the kernel may write it.
    if unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) } != 0 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    Ok(time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64)
}
