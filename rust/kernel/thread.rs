// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that nobody waits for.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*,
    ThisModule, //
};

/// What a thread starts with; the C side calls `run` with the address of the value, and keeps
/// `module` loaded.
#[repr(C)]
struct Start<F> {
    run: unsafe extern "C" fn(*mut c_void),
    module: *mut bindings::module,
    f: F,
}

/// Runs `f` in a kernel thread of its own.
///
/// For what may take longer than anybody should have to wait, as the end of a device, or a
/// suspend: such a thread is not frozen. The module, which must be the one that `f` is part of,
/// cannot be unloaded while it runs.
///
/// Must be called from a context that may sleep. Returns an error, without having called `f`, if
/// there is no memory for a thread, or the module is being unloaded.
pub fn run_detached<F: FnOnce() + Send + 'static>(
    module: &'static ThisModule,
    name: &'static CStr,
    f: F,
) -> Result {
    let start = Start {
        run: run::<F>,
        module: module.as_ptr(),
        f,
    };
    let start = KBox::into_raw(KBox::new(start, GFP_KERNEL)?);
    // SAFETY: `start` begins with a function that takes its address, and with a module, and is
    // handed over.
    let started = to_result(unsafe { bindings::next_run_thread(start.cast(), name.as_char_ptr()) });
    if started.is_err() {
        // SAFETY: There is no thread, so this is the only owner.
        drop(unsafe { KBox::from_raw(start) });
    }
    started
}

/// Runs in the thread.
///
/// # Safety
///
/// `start` must come from [`KBox::into_raw`] for a `Start<F>`, and be handed over.
unsafe extern "C" fn run<F: FnOnce() + Send + 'static>(start: *mut c_void) {
    // SAFETY: By the safety requirement.
    let start = unsafe { KBox::from_raw(start.cast::<Start<F>>()) };
    let Start { f, .. } = KBox::into_inner(start);
    f();
}

#[cfg(CONFIG_RUST_KERNEL_NEXT_KUNIT_TEST)]
#[kunit_tests(rust_kernel_thread)]
mod tests {
    use super::*;
    use crate::{
        module::this_module,
        sync::{
            Arc,
            Event, //
        },
        LocalModule, //
    };

    /// Tells when it goes.
    struct Owned(Arc<Event>);

    impl Drop for Owned {
        fn drop(&mut self) {
            self.0.signal();
        }
    }

    #[test]
    fn runs_and_drops_what_it_had() -> Result {
        let ran = Arc::pin_init(Event::new(), GFP_KERNEL)?;
        let dropped = Arc::pin_init(Event::new(), GFP_KERNEL)?;
        let (theirs, owned) = (ran.clone(), Owned(dropped.clone()));
        run_detached(this_module::<LocalModule>(), c"rust-kunit", move || {
            let _owned = owned;
            theirs.signal();
        })?;
        assert!(ran.wait(60_000));
        assert!(dropped.wait(60_000));
        Ok(())
    }
}
