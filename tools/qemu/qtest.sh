#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# qtest.sh [TEST-OPTION...]: runs QEMU's own tests of the balloon, without a guest, on the patched QEMU.

. "$(dirname "$0")/../setup/common.sh"

TESTS=(virtio-balloon-bitmap-test virtio-balloon-extents-test virtio-balloon-test)

main() {
	local test log=$CACHE/log/qemu-qtest.log
	load_state qemu-patched
	[ -n "${FOUND_QEMU_TREE:-}" ] && [ -x "${FOUND_QEMU_PATCHED:-}" ] ||
		die "the patched QEMU is not set up: run 'bash tools/setup/qemu-patched.sh'."
	mkdir -p "$CACHE/log"
	lock_cache
	ninja -C "$FOUND_QEMU_TREE/build" -j "${VBRS_JOBS:-$(nproc)}" "${TESTS[@]/#/tests/qtest/}" >"$log" 2>&1 </dev/null ||
		die_with_log "$log" "cannot build QEMU's tests. The log is $log."
	for test in "${TESTS[@]}"; do
		QTEST_QEMU_BINARY=$FOUND_QEMU_PATCHED "$FOUND_QEMU_TREE/build/tests/qtest/$test" --tap -k "$@" |
			grep -v '^# starting QEMU' ||
			die "$test failed."
	done
}

main "$@"
