// SPDX-License-Identifier: GPL-2.0

//! Work that goes on in a thread of its own until the host has it stopped.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, //
    },
    thread::JoinHandle, //
};

/// Whether the work is to end.
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The work; `T` is what it comes to.
pub(crate) struct Background<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<T, String>>,
    what: &'static str,
}

impl<T: Send + 'static> Background<T> {
    /// Starts what has to look at [`Stop`] now and then.
    pub(crate) fn start(
        what: &'static str,
        work: impl FnOnce(Stop) -> Result<T, String> + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Stop(stop.clone());
        Self {
            stop,
            thread: std::thread::spawn(move || work(seen)),
            what,
        }
    }

    /// Ends it, and waits for that.
    pub(crate) fn finish(self) -> Result<T, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| format!("the {} thread died", self.what))?
    }
}
