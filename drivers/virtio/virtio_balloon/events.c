// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints themselves, with a function for each that Rust can call. Without
 * CONFIG_TRACEPOINTS this is empty.
 */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include <trace/events/virtio_balloon.h>
