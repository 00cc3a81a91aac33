// SPDX-License-Identifier: GPL-2.0

//! Synchronisation.

mod spinlock_irq;

pub use self::spinlock_irq::{
    SpinLockIrq,
    SpinLockIrqGuard, //
};
#[doc(no_inline)]
pub use kernel::sync::*;

/// Locks.
pub mod lock {
    #[doc(no_inline)]
    pub use kernel::sync::lock::*;

    /// Spin locks.
    pub mod spinlock {
        pub use crate::sync::spinlock_irq::SpinLockIrqBackend;
        #[doc(no_inline)]
        pub use kernel::sync::lock::spinlock::*;
    }
}

/// Memory barriers, which are told what they order.
pub mod barrier {
    #[doc(no_inline)]
    pub use kernel::sync::atomic::Full;

    /// A full barrier between processors.
    #[inline]
    pub fn smp_mb(_: Full) {
        kernel::sync::barrier::smp_mb();
    }
}
