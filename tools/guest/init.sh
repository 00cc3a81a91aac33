#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# The guest's init: mounts what is needed, then leaves the guest to the agent.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t debugfs debugfs /sys/kernel/debug
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
echo 7 > /proc/sys/kernel/printk

# The second serial port belongs to the host's side of the agent. The first is the console.
port=/dev/$(sed 's/.*console=\(tty[A-Za-z]*\)0.*/\1/' /proc/cmdline)1
stty -F $port raw -echo
agent $port
echo "guest agent ended with status $?: panic"
poweroff -f
