// SPDX-License-Identifier: GPL-2.0

//! The configuration operations of a mock device: what a transport does for the virtio bus.

use super::Mock;
use crate::{
    bindings,
    prelude::*, //
};

pub(super) static OPERATIONS: bindings::virtio_config_ops = bindings::virtio_config_ops {
    get: Some(Mock::get),
    set: Some(Mock::set),
    generation: None,
    get_status: Some(Mock::get_status),
    set_status: Some(Mock::set_status),
    reset: Some(Mock::reset),
    find_vqs: Some(Mock::find_vqs),
    del_vqs: Some(Mock::del_vqs),
    synchronize_cbs: Some(Mock::synchronize_cbs),
    get_features: Some(Mock::get_features),
    get_extended_features: None,
    finalize_features: Some(Mock::finalize_features),
    bus_name: None,
    set_vq_affinity: None,
    get_vq_affinity: None,
    get_shm_region: None,
    disable_vq_and_reset: None,
    enable_vq_after_reset: None,
};

impl Mock {
    extern "C" fn get_status(vdev: *mut bindings::virtio_device) -> u8 {
        // SAFETY: The bus calls this with a device of ours.
        unsafe { Self::of(vdev) }.hardware.lock().status
    }

    extern "C" fn set_status(vdev: *mut bindings::virtio_device, status: u8) {
        // SAFETY: The bus calls this with a device of ours.
        unsafe { Self::of(vdev) }.hardware.lock().status = status;
    }

    extern "C" fn reset(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        {
            let mut hw = this.hardware.lock();
            if !hw.defects.never_resets {
                hw.status = 0;
                hw.is_reset = true;
            }
        }
        this.wait_for_callbacks();
    }

    extern "C" fn synchronize_cbs(vdev: *mut bindings::virtio_device) {
        // SAFETY: The bus calls this with a device of ours.
        unsafe { Self::of(vdev) }.wait_for_callbacks();
    }

    extern "C" fn get_features(vdev: *mut bindings::virtio_device) -> u64 {
        // SAFETY: The bus calls this with a device of ours.
        unsafe { Self::of(vdev) }.hardware.lock().setup.features
    }

    extern "C" fn finalize_features(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: The bus calls this with a device of ours.
        let this = unsafe { Self::of(vdev) };
        // SAFETY: As above.
        unsafe { bindings::vring_transport_features(vdev) };
        if this.hardware.lock().defects.refuses_features {
            EOPNOTSUPP.to_errno()
        } else {
            0
        }
    }
}
