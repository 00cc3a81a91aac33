// SPDX-License-Identifier: GPL-2.0

//! What there is to say about a device as a whole, for debugfs.

use kernel::{
    fmt,
    prelude::*,
    sync::Arc,
    virtio::Feature, //
};

use crate::{
    counters::{
        BitmapCounters,
        HintCounters, //
    },
    page_buffer::Format,
    shown::{
        DeviceState,
        Shown, //
    },
    shown_file::Show, //
};

/// A device, as it was set up.
pub(crate) struct About {
    pub(crate) state: Shown<DeviceState>,
    /// Features with their names, and whether each was negotiated.
    features: KVec<(&'static str, bool)>,
    format: Format,
    hinting: Arc<HintCounters>,
    bitmap: Arc<BitmapCounters>,
}

impl About {
    /// Describes a device whose features were negotiated.
    pub(crate) fn new(
        names: &[(Feature, &'static str)],
        has: impl Fn(Feature) -> bool,
        format: Format,
        hinting: Arc<HintCounters>,
        bitmap: Arc<BitmapCounters>,
    ) -> Result<Self> {
        Ok(Self {
            state: Shown::new(DeviceState::Starting),
            features: kernel::kvec::filled(names.len(), |index| match names.get(index) {
                Some(&(feature, name)) => (name, has(feature)),
                None => ("", false),
            })?,
            format,
            hinting,
            bitmap,
        })
    }
}

impl Show for About {
    /// Writes a line for each thing.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("state: {}\n", self.state))?;
        f.write_str("features:")?;
        for (name, _) in self.features.iter().filter(|(_, negotiated)| *negotiated) {
            f.write_fmt(fmt!(" {}", name))?;
        }
        f.write_fmt(fmt!("\nstrategy: {}\n", self.hinting.strategy))?;
        f.write_fmt(fmt!("format: {}\n", self.format))?;
        // There is no more than one of the two.
        let hold = self.hinting.longest_hold_ns.get();
        let hold = hold.max(self.bitmap.longest_hold_ns.get());
        f.write_fmt(fmt!("longest_hold_ns: {}\n", hold))
    }
}
