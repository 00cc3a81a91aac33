// SPDX-License-Identifier: GPL-2.0
/*
 * The abstractions' C functions once more, as they are on any kernel: what our patches export is
 * for the balloon driver alone.
 */

#include "../../rust/helpers/helpers.c"
