// SPDX-License-Identifier: GPL-2.0

//! Access to a device from where the bus does not vouch for it.

use crate::{
    device, new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Event,
        Mutex, //
    },
};

use super::{
    lifecycle::{
        Lifecycle,
        Resource, //
    },
    Device, //
};

/// How often to look again whether a user has left, if nobody says so, in milliseconds.
const LOOK_AGAIN_MS: u32 = 1000;

struct Users {
    open: bool,
    count: usize,
}

/// Access to a device for code that is called by another part of the kernel: a notifier, the
/// balloon's compaction, page reporting.
///
/// There is access from `DRIVER_OK` until the device is about to be reset, for a suspend as well.
/// The reset waits for those who have it, so they must not wait for the device.
#[pin_data]
pub struct DeviceAccess {
    dev: ARef<Device>,
    #[pin]
    users: Mutex<Users>,
    #[pin]
    left: Event,
}

impl DeviceAccess {
    /// Returns the number of the device, see [`Device::index`].
    pub fn index(&self) -> c_int {
        self.dev.index()
    }

    /// Calls `f` with the device, or returns [`ENODEV`] if it is not live.
    ///
    /// `f` must not wait for the device: who does that has to let go of it meanwhile.
    pub fn with<R>(&self, f: impl FnOnce(&Device<device::Bound>) -> R) -> Result<R> {
        {
            let mut users = self.users.lock();
            if !users.open {
                return Err(ENODEV);
            }
            users.count = users.count.saturating_add(1);
        }
        let dev: *const Device = &*self.dev;
        // SAFETY: The device is live, as the access is open, and is not reset before `count` has
        // gone down again.
        let result = f(unsafe { &*dev.cast::<Device<device::Bound>>() });
        let mut users = self.users.lock();
        users.count = users.count.saturating_sub(1);
        drop(users);
        self.left.signal();
        Ok(result)
    }
}

impl Resource for DeviceAccess {
    fn ready(&self) {
        self.users.lock().open = true;
    }

    fn stop(&self) {
        self.users.lock().open = false;
        loop {
            self.left.arm();
            if self.users.lock().count == 0 {
                break;
            }
            self.left.wait(LOOK_AGAIN_MS);
        }
    }
}

impl Device<device::Core<'_>> {
    /// Creates an access to this device.
    pub fn new_access(&self) -> Result<Arc<DeviceAccess>> {
        let dev: &Device = self;
        let access = Arc::pin_init(
            try_pin_init!(DeviceAccess {
                dev: dev.into(),
                users <- new_mutex!(Users {
                    open: false,
                    count: 0,
                }),
                left <- Event::new(),
            }),
            GFP_KERNEL,
        )?;
        Lifecycle::add(self, access.clone())?;
        Ok(access)
    }
}
