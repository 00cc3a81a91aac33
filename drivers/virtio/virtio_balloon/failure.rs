// SPDX-License-Identifier: GPL-2.0

//! What is done when a virtqueue does not take a buffer or a notification.
//!
//! A queue that is broken stays so until the device is reset. Anything else may pass, as when
//! memory for a mapping was short: it is tried again.

use kernel::{
    device,
    prelude::*,
    time::Msecs,
    virtio, //
};

/// The pause before an operation is tried again: short, as the guest's memory may wait for it.
pub(crate) const RETRY_MS: Msecs = 20;

/// Says that a part of the driver has ceased to work.
pub(crate) fn report(dev: &virtio::Device<device::Bound>, what: &str, error: Error) {
    dev_err!(
        dev,
        "{} failed ({:?}): the device is broken; it is off until the driver is bound again\n",
        what,
        error
    );
}
