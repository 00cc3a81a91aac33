// SPDX-License-Identifier: GPL-2.0

//! A device with a report that it never answers, for tests that suspend the machine or unload the
//! module meanwhile. They write to a file in debugfs.

use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex,
    uaccess::UserSliceReader,
    virtio::mock::MockDevice, //
};

use super::{
    host::SOON,
    reporting::{
        churn,
        reporting,
        QUEUE, //
    }, //
};

/// The device, while there is one.
#[pin_data]
pub(crate) struct DeadReport {
    #[pin]
    device: Mutex<Option<MockDevice>>,
}

impl DeadReport {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            device <- new_mutex!(None),
        })
    }

    /// Follows a command: `0` no device, `1` one that resets when it is told to, `2` one that does
    /// not.
    pub(crate) fn command(&self, reader: &mut UserSliceReader) -> Result {
        let mut command = [0];
        reader.read_slice(&mut command)?;
        let mut device = self.device.lock();
        *device = None;
        if command == *b"0" {
            return Ok(());
        }
        churn()?;
        let new = MockDevice::new(reporting())?;
        new.set_defects(|defects| defects.never_resets = command == *b"2");
        new.wait_until(SOON, || Ok(new.has_available(QUEUE)))?;
        *device = Some(new);
        Ok(())
    }
}
