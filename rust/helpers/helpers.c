// SPDX-License-Identifier: GPL-2.0
/*
 * Functions for what Rust cannot call: inline functions and macros of the kernel's headers.
 *
 * Each name starts with `rust_helper_next_`. The prefix keeps these apart from the helpers that
 * the kernel itself has or gains: under another configuration the same name in both makes the
 * bindings ambiguous. Upstream the prefix goes and the kernel's `__rust_helper` comes.
 */

#include <linux/compiler_types.h>

/* Ordinary functions of the module, so bindgen and the compiler see the same thing. */
#define __rust_helper

#ifdef KERNEL_COMPAT
/* Before 7.3 a kernel thread has the files of init anyway. */
#define scoped_with_init_fs()
#include "../compat/spinlock.c"
#endif

#include "balloon.c"
#include "completion.c"
#include "drop_caches.c"
#include "fault.c"
#include "isolation.c"
#include "kthread.c"
#include "mmzone.c"
#include "mock.c"
#include "page_alloc.c"
#include "pm.c"
#include "virtio.c"
#include "vmstat.c"
