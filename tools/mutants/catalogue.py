# SPDX-License-Identifier: GPL-2.0
"""The mutants. Each is a mistake that somebody could have made.

To add one: documentation in Documentation/development/mutants.rst.
"""

from __future__ import annotations

from tools.mutants.mutant import KUNIT, Mutant

_DRIVER = "drivers/virtio/virtio_balloon"
_KERNEL = "rust/kernel"
_HELPERS = "rust/helpers"

_SCATTER_BITMAP = f"{_KERNEL}/scatter_bitmap.rs"
_FREE_LIST = f"{_KERNEL}/mm/free_list.rs"
_FREE_WALK = f"{_KERNEL}/mm/free_walk.rs"
_PFN_RANGE = f"{_KERNEL}/mm/pfn_range.rs"
_RUN_SET = f"{_KERNEL}/mm/run_set.rs"
_PAGE_RUN = f"{_KERNEL}/mm/page_run.rs"
_ISOLATION = f"{_KERNEL}/mm/isolation.rs"
_ISOLATED_RUN = f"{_KERNEL}/mm/isolated_run.rs"
_BALLOON_PAGES = f"{_KERNEL}/mm/balloon.rs"
_VIRTQUEUE = f"{_KERNEL}/virtio/virtqueue.rs"
_ANSWERS = f"{_DRIVER}/answers.rs"
_BITMAP = f"{_DRIVER}/bitmap.rs"
_BITMAP_REQUEST = f"{_DRIVER}/bitmap_request.rs"
_CACHE_DROP = f"{_DRIVER}/cache_drop.rs"
_DEVICE = f"{_DRIVER}/device.rs"
_HELD = f"{_DRIVER}/held.rs"
_ISOLATE = f"{_DRIVER}/isolate.rs"
_ISOLATED = f"{_DRIVER}/isolated.rs"
_HINT = f"{_DRIVER}/hint.rs"
_HOLD = f"{_DRIVER}/hold.rs"
_MOVING = f"{_DRIVER}/moving.rs"
_OUTBOX = f"{_DRIVER}/outbox.rs"
_PAGE_BUFFER = f"{_DRIVER}/page_buffer.rs"
_PAGE_QUEUES = f"{_DRIVER}/page_queues.rs"
_RESIZING = f"{_DRIVER}/resizing.rs"
_ROUNDS = f"{_DRIVER}/rounds.rs"
_STATS = f"{_DRIVER}/stats.rs"
_TARGET = f"{_DRIVER}/target.rs"

_BY_KUNIT = (KUNIT,)
_ONE_ROUND_OF_HOLD = ("test_round.py::test_round[rust-hold]",)
_MORE_ROUNDS = ("test_round.py::test_more_rounds[rust-hold]",)
_ONE_REPORT = ("test_bitmap_report.py::test_one_report_for_blocks",)
_OVERTAKING = "test_bitmap_overtaking.py"
_COMBINATIONS = "test_bitmap_combinations.py::test_what_is_on_works"
_DEVIATIONS = "test_c_deviations.py"
_DROP_CACHES = "test_bitmap_drop_caches.py"
_EACH_PAGE_ONCE = ("test_inflate.py::test_host_gets_each_page_once",)
_PROBE = ("test_driver_ok.py::test_probe",)
_RESTORE = ("test_driver_ok.py::test_restore",)

MUTANTS = (
    # Windows and bitmaps.
    Mutant(
        "window-end-rounds-up",
        _SCATTER_BITMAP,
        "A block that crosses the end of the window is reported.",
        "let end = end_pfn.wrapping_shr(order);",
        "let end = block_from(end_pfn, order);",
        _BY_KUNIT,
    ),
    Mutant(
        "window-start-rounds-down",
        _SCATTER_BITMAP,
        "A block that crosses the start of the window is reported.",
        "        block.wrapping_add(1)\n",
        "        block\n",
        _BY_KUNIT,
    ),
    Mutant(
        "window-ends-with-its-first-part",
        _SCATTER_BITMAP,
        "A window that takes several reports ends with the first one.",
        "        if self.next < self.end {",
        "        if self.next > self.end {",
        _BY_KUNIT,
    ),
    Mutant(
        "part-sets-bits-beyond-it",
        _SCATTER_BITMAP,
        "Free blocks behind a part of the window set bits of the bitmap.",
        "        let end = end.min(self.bits);\n",
        "",
        _BY_KUNIT,
    ),
    Mutant(
        "bitmap-byte-order",
        _SCATTER_BITMAP,
        "The bytes of a word are in the wrong order.",
        "*word |= mask.to_le();",
        "*word |= mask.to_be();",
        _BY_KUNIT,
    ),
    Mutant(
        "bitmap-keeps-old-bits",
        _SCATTER_BITMAP,
        "What an earlier report said is still in the bitmap.",
        "                words.fill(0);\n",
        "                let _ = words;\n",
        _BY_KUNIT,
    ),
    Mutant(
        "bitmap-not-cut-to-its-bits",
        _SCATTER_BITMAP,
        "Bits beyond the end of the bitmap are set.",
        "first.saturating_add(count).min(self.bits);",
        "first.saturating_add(count).min(self.capacity());",
        _BY_KUNIT,
    ),
    Mutant(
        "clip-crosses-the-window",
        _PFN_RANGE,
        "A part of a block that is cut at a window's end is handed on.",
        "let end = self.end().min(window.end()) & !mask;",
        "let end = self.end().min(window.end());",
        _BY_KUNIT,
    ),
    # The walk over the free lists.
    Mutant(
        "batch-one-too-many",
        _FREE_LIST,
        "One entry more than the limit is visited under a hold of the lock.",
        "budget.min(limit.saturating_sub(visited))",
        "budget.min(limit.saturating_sub(visited).saturating_add(1))",
        _BY_KUNIT,
    ),
    Mutant(
        "batch-limit-ignored",
        _FREE_WALK,
        "A zone's lock is held for as long as there are entries.",
        "cursor.batch(&locked, self.batch.get(), sink);",
        "cursor.batch(&locked, usize::MAX, sink);",
        _BY_KUNIT,
    ),
    Mutant(
        "zone-lock-lost",
        _FREE_WALK,
        "A zone's lock is not given back.",
        "        drop(locked);\n",
        "        core::mem::forget(locked);\n",
        _BY_KUNIT,
    ),
    Mutant(
        "walk-without-budget",
        _FREE_LIST,
        "What others free meanwhile keeps the walk in a list.",
        "            let mut budget = budget.wrapping_sub(entries);\n",
        "            let mut budget = budget;\n",
        _BY_KUNIT,
    ),
    Mutant(
        "walk-trusts-moved-entries",
        _FREE_LIST,
        "The walk goes on at an entry that left its place and came back at another.",
        "            if in_place {\n",
        "            if in_place || age == 0 {\n",
        _BY_KUNIT,
    ),
    Mutant(
        "walk-skips-refused-block",
        _FREE_LIST,
        "A block that the sink had no room for is not offered again.",
        "                    if sink.block(block).is_err() {\n",
        "                    if sink.block(block).is_err() {\n                        "
        "self.trail.push(pfn);\n",
        _BY_KUNIT,
    ),
    Mutant(
        "walk-leaves-out-lowest-order",
        _FREE_LIST,
        "Blocks of the lowest order that was asked for are not visited.",
        "                Some(order) if order >= self.lowest => self.order = order,\n"
        "                _ => self.done = true,",
        "                Some(order) if order > self.lowest => self.order = order,\n"
        "                _ => self.done = true,",
        _BY_KUNIT,
    ),
    # Runs of pages.
    Mutant(
        "shortest-run-first",
        _RUN_SET,
        "The shortest run is sent first.",
        "runs.max_by_key(",
        "runs.min_by_key(",
        _BY_KUNIT,
    ),
    Mutant(
        "joined-block-freed",
        _PAGE_RUN,
        "A block is freed when it joins a run, and again with the run.",
        "        let _ = other.into_parts();\n",
        "        drop(other);\n",
        _BY_KUNIT,
    ),
    Mutant(
        "run-split-inside-a-block",
        _PAGE_RUN,
        "A run is taken apart in the middle of a block.",
        "        let pages = pages & !self.block_pages().wrapping_sub(1);\n",
        "",
        _BY_KUNIT,
    ),
    Mutant(
        "orders-mixed-in-a-run",
        _PAGE_RUN,
        "Blocks of different orders join, and are freed as if they had the same.",
        "        if self.order != other.order {\n",
        "        if self.order < other.order {\n",
        _BY_KUNIT,
    ),
    # Pages of the balloon.
    Mutant(
        "closed-gap-leaves-an-extent",
        _PAGE_BUFFER,
        "Two extents that became one are still told as two.",
        "                self.len = self.len.saturating_sub(1);\n",
        "",
        _BY_KUNIT,
    ),
    Mutant(
        "extents-of-the-last-buffer",
        _PAGE_BUFFER,
        "A buffer that is used again still has the extents that it had.",
        "            extents.clear();\n        }\n    }\n",
        "            let _ = extents;\n        }\n    }\n",
        _BY_KUNIT,
    ),
    Mutant(
        "broken-block-counts-twice",
        f"{_KERNEL}/mm/balloon_blocks.rs",
        "A block that is broken into single pages is still counted.",
        "        self.leave(&run);\n        run.into_pages",
        "        run.into_pages",
        _BY_KUNIT,
    ),
    Mutant(
        "part-of-a-block-is-taken",
        f"{_KERNEL}/mm/balloon_blocks.rs",
        "More pages leave the balloon than were asked for.",
        "                    blocks.push(run);\n                    return None;\n",
        "                    drop(blocks);\n                    self.leave(&run);\n"
        "                    return Some(run);\n",
        _BY_KUNIT,
    ),
    Mutant(
        "notifies-of-each-buffer",
        _PAGE_QUEUES,
        "The host is notified of every single buffer.",
        "self.inflate.kick(inflate, per_kick(inflate))?;",
        "self.inflate.kick(inflate, 1)?;",
        _BY_KUNIT,
    ),
    Mutant(
        "balloon-page-freed-on-entry",
        _BALLOON_PAGES,
        "A page is freed when it is put into the balloon.",
        "            let page = ManuallyDrop::new(page);\n",
        "",
        _BY_KUNIT,
    ),
    Mutant(
        "balloon-loses-count",
        _BALLOON_PAGES,
        "Pages that are taken out of the balloon still count.",
        "        self.pages.fetch_sub(taken, Relaxed);\n",
        "",
        _BY_KUNIT,
    ),
    # Virtqueues.
    Mutant(
        "slot-taken-twice",
        _VIRTQUEUE,
        "A token that the device returns twice makes a mess of the free slots.",
        "            free => {\n                *slot = free;\n"
        "                None\n            }\n",
        "            Slot::Free(_) => {\n                self.free = Some(index);\n"
        "                None\n            }\n",
        _BY_KUNIT,
    ),
    Mutant(
        "lent-never-falls",
        _VIRTQUEUE,
        "A buffer that was taken back still counts as the device's.",
        "                self.lent = self.lent.saturating_sub(1);\n",
        "",
        _BY_KUNIT,
    ),
    Mutant(
        "failed-notification-forgotten",
        _VIRTQUEUE,
        "A notification that failed is not made up for.",
        "            self.owed.xchg(true, Full);\n            Err(EIO)\n",
        "            Err(EIO)\n",
        ("test_bitmap_faults.py::test_virtqueues",),
    ),
    # The protocol of hinting.
    Mutant(
        "command-id-sent-twice",
        _ROUNDS,
        "A request that was answered is answered again.",
        "Command::Request(id) => Some(id).filter(|_| self.sent != Some(id)),",
        "Command::Request(id) => Some(id),",
        _BY_KUNIT,
    ),
    Mutant(
        "stop-keeps-command-id",
        _ROUNDS,
        "After a stop the host cannot use the same command id again.",
        "                self.sent = None;\n                None\n",
        "                None\n",
        _BY_KUNIT,
    ),
    Mutant(
        "overtaking-round-lost",
        _ROUNDS,
        "A request that comes in the middle of a round is forgotten when that ends.",
        "self.phase = self.next.take().map_or(Phase::Idle, Phase::Opening);",
        "self.phase = Phase::Idle;",
        _BY_KUNIT,
    ),
    Mutant(
        "stop-not-sent",
        _HINT,
        "A round is not ended with a stop.",
        "                if !self.send_id(dev, queue, state, Command::STOP)? {\n"
        "                    return Ok(Next::Wait);\n                }\n",
        "",
        _ONE_ROUND_OF_HOLD,
    ),
    Mutant(
        "done-ignored",
        _HINT,
        "Pages stay held when the host says that it is done.",
        "                state.done = true;\n                self.held.release_all();\n",
        "                state.done = true;\n",
        _ONE_ROUND_OF_HOLD,
    ),
    Mutant(
        "held-pages-back-before-done",
        _HINT,
        "Pages go back to the guest before the host says that it is done.",
        "HintBuffer::Held(run) => self.held.keep(run),",
        "HintBuffer::Held(run) => self.held.release(run),",
        _ONE_ROUND_OF_HOLD,
    ),
    Mutant(
        "command-id-buffer-lost",
        _HINT,
        "The buffer of a command id is not used again when the host has returned it.",
        "HintBuffer::Id(id) => state.return_id(id),",
        "HintBuffer::Id(id) => drop(id),",
        _MORE_ROUNDS,
    ),
    Mutant(
        "hints-without-notification",
        _HINT,
        "The host is not told of the hints.",
        "                Next::Wait => {\n                    self.kick(queue, state)?;\n",
        "                Next::Wait => {\n",
        _ONE_ROUND_OF_HOLD,
    ),
    Mutant(
        "config-change-not-read",
        _HINT,
        "The command id is not read again when the configuration has changed.",
        "    pub(crate) fn config_changed(&self) {\n"
        "        self.command_is_stale.xchg(true, Full);\n",
        "    pub(crate) fn config_changed(&self) {\n",
        _ONE_ROUND_OF_HOLD,
    ),
    Mutant(
        "round-not-started",
        _HINT,
        "The source of pages goes on where an earlier round has ended.",
        "                state.source.start();\n",
        "",
        _ONE_ROUND_OF_HOLD,
    ),
    Mutant(
        "hint-callback-not-asked-for",
        _HINT,
        "The host is not asked to call back when it returns buffers.",
        ".lent() == 0 || ",
        ".lent() < usize::MAX || ",
        ("test_start_stop.py::test_start_stop[rust-hold]",),
    ),
    # Pages that are held.
    Mutant(
        "hold-leaves-no-reserve",
        _HOLD,
        "Free memory is taken until the allocator refuses.",
        "    if node.free_pages() <= needed {\n",
        "    if node.free_pages() <= needed.min(1) {\n",
        ("test_round.py::test_hold_leaves_a_reserve",),
    ),
    Mutant(
        "shrinker-says-too-much",
        _HELD,
        "The shrinker claims a page that it did not give back.",
        "            freed = freed.saturating_add(run.range().pages());\n",
        "            freed = freed.saturating_add(run.range().pages()).saturating_add(1);\n",
        _BY_KUNIT,
    ),
    Mutant(
        "given-back-not-counted",
        _HELD,
        "Somebody is killed although held pages were just given back.",
        "        self.given_back.fetch_add(pages, Full);\n",
        "",
        _BY_KUNIT,
    ),
    # Inflating and deflating.
    Mutant(
        "inflates-twice",
        _TARGET,
        "Pages on their way into the balloon are asked for again.",
        "let expected = self.inside.saturating_add(self.entering);",
        "let expected = self.inside;",
        _BY_KUNIT,
    ),
    Mutant(
        "size-without-leaving-pages",
        _TARGET,
        "Pages that the host has not given back are not in the size that it is told.",
        "balloon_pages(self.inside.saturating_add(self.leaving))",
        "balloon_pages(self.inside)",
        _BY_KUNIT,
    ),
    Mutant(
        "settled-too-early",
        _TARGET,
        "The driver rests although the host has yet to acknowledge pages.",
        "if self.entering > 0 || self.leaving > 0 {",
        "if self.entering > 0 {",
        _BY_KUNIT,
    ),
    Mutant(
        "page-number-wraps",
        _TARGET,
        "A page whose number does not fit is told by another page's number.",
        "    u32::try_from(first.checked_add((1 << SHIFT) - 1)?).ok()?;\n"
        "    u32::try_from(first).ok()\n",
        "    Some(first as u32)\n",
        _BY_KUNIT,
    ),
    Mutant(
        "stale-page-numbers-sent",
        _PAGE_BUFFER,
        "The host is told of all the numbers in a buffer that is not full.",
        "numbers.prefix(self.pages.len().saturating_mul(PER_PAGE))",
        "numbers.prefix(self.pages.len().saturating_mul(PER_PAGE).max(4096))",
        _EACH_PAGE_ONCE,
    ),
    Mutant(
        "page-numbers-in-wrong-byte-order",
        _PAGE_BUFFER,
        "Page numbers have the wrong byte order.",
        "*number = dev.to_virtio(first.saturating_add(offset));",
        "*number = dev.to_virtio(first.saturating_add(offset)).swap_bytes();",
        _EACH_PAGE_ONCE,
    ),
    Mutant(
        "inflates-without-notification",
        _RESIZING,
        "The host is not told of the pages that it is given.",
        "        unseen.kick(queues)?;\n",
        "",
        _PROBE,
    ),
    Mutant(
        "retries-without-pause",
        _RESIZING,
        "When memory is short the driver tries again at once.",
        "let pause = state.retry_at.saturating_sub(now());",
        "let pause = state.retry_at.min(0);",
        ("test_targets.py::test_more_than_there_is",),
    ),
    Mutant(
        "size-not-told",
        _RESIZING,
        "The host is not told the size when the target is reached.",
        "                    state.short = false;\n"
        "                    Self::report_size(this, dev, &mut state)?;\n",
        "                    state.short = false;\n",
        _EACH_PAGE_ONCE,
    ),
    Mutant(
        "balloon-not-emptied",
        _DEVICE,
        "The driver goes without having taken the pages back from the host.",
        "        if let Err(error) = Sizing::empty(&self.resizing.0, dev) {\n",
        "        if let Err(error) = self.resizing.0.queues(dev) {\n",
        (f"{_DEVIATIONS}::test_empties_the_balloon_when_it_goes[ours]",),
    ),
    Mutant(
        "inflate-parameter-ignored",
        _RESIZING,
        "A guest that gives no memory away follows the target.",
        "let target = if self.gives { wanted } else { 0 };",
        "let target = wanted;",
        ("test_no_inflate.py::test_no_inflate",),
    ),
    # Requests for the bitmap.
    Mutant(
        "stale-request-accepted",
        _BITMAP_REQUEST,
        "A request with the id of the one before it is answered.",
        "if id == 0 || now.in_progress == Some(id) || now.last == Some(id) {",
        "if id == 0 || now.in_progress == Some(id) {",
        _BY_KUNIT,
    ),
    Mutant(
        "any-id-cancels",
        _BITMAP_REQUEST,
        "A cancellation of another request ends the one in progress.",
        "if id == 0 || now.in_progress != Some(id) {",
        "if id == 0 || now.in_progress.is_none() {",
        _BY_KUNIT,
    ),
    Mutant(
        "long-request-accepted",
        _BITMAP_REQUEST,
        "A request is taken of which the device says that it wrote more than the buffer holds.",
        "if usize::try_from(len) != Ok(REQUEST_BYTES) {",
        "if usize::try_from(len).unwrap_or(0) < REQUEST_BYTES {",
        _BY_KUNIT,
    ),
    Mutant(
        "window-not-cut-to-memory",
        _BITMAP_REQUEST,
        "A window goes on where no memory is.",
        "Window::new(start, end.min(now.end_pfn), u32::from(self.order))",
        "Window::new(start, end, u32::from(self.order))",
        _BY_KUNIT,
    ),
    Mutant(
        "requests-in-wrong-byte-order",
        _BITMAP_REQUEST,
        "The numbers in requests and reports are big-endian.",
        "use zerocopy::little_endian::{",
        "use zerocopy::big_endian::{",
        _ONE_REPORT,
    ),
    Mutant(
        "cancel-ignored",
        _BITMAP,
        "A request that is cancelled goes on.",
        "                state.cancel(Ending::Cancelled);\n",
        "",
        (f"{_OVERTAKING}::test_cancel",),
    ),
    Mutant(
        "overtaken-without-answer",
        _BITMAP,
        "A request that is overtaken ends without a report.",
        "        self.answer(slot, wanted.cancelled(&dropped));\n",
        "        let _ = wanted.cancelled(&dropped);\n        self.repost(slot);\n",
        (f"{_OVERTAKING}::test_newer_request_overtakes",),
    ),
    Mutant(
        "answered-buffer-not-reposted",
        _BITMAP,
        "A request buffer is lost with the answer that it was refused with.",
        "BitmapBuffer::Answer(slot) => state.repost(slot),",
        "BitmapBuffer::Answer(slot) => drop(slot),",
        ("test_bitmap_bad_requests.py::test_refused",),
    ),
    Mutant(
        "parts-all-last",
        _BITMAP,
        "Each report says that it is the last one of its request.",
        "            Outcome::More => Status::More,\n",
        "            Outcome::More => Status::Done,\n",
        ("test_bitmap_report.py::test_large_guest_takes_several",),
    ),
    Mutant(
        "bitmap-callback-race",
        _BITMAP,
        "A request that comes right before callbacks are asked for is not seen.",
        "            if queue.lock().enable_callback() {\n                return Ok(then);\n"
        "            }\n            queue.lock().disable_callback();\n",
        "            let _ = queue.lock().enable_callback();\n            return Ok(then);\n",
        ("test_bitmap_bad_requests.py::test_many_good_ones_at_once",),
    ),
    Mutant(
        "bitmap-without-notification",
        _BITMAP,
        "The host is not told of the reports.",
        "        if state.unseen.kick(queue, 1)? == Some(true) {\n",
        "        if false && state.unseen.kick(queue, 1)? == Some(true) {\n",
        _ONE_REPORT,
    ),
    Mutant(
        "reports-out-of-order",
        _OUTBOX,
        "What could not be sent goes behind what came later.",
        "        let mut moving = Some(item);\n        for place in self.0.iter_mut() {\n"
        "            core::mem::swap(place, &mut moving);\n        }\n",
        "        self.push(item);\n",
        _BY_KUNIT,
    ),
    Mutant(
        "memory-end-one-short",
        f"{_HELPERS}/mmzone.c",
        "The last page frame of a zone is taken for one behind it.",
        "\treturn zone_end_pfn(zone);\n",
        "\treturn zone_end_pfn(zone) - 1;\n",
        ("test_bitmap_report.py::test_pages",),
    ),
    # Dropping caches.
    Mutant(
        "drop-policy-bypassed",
        _CACHE_DROP,
        "The host may drop all caches as soon as it may drop any.",
        "        let caches = wanted.and(self.allowed);\n        if caches.is_empty() {\n",
        "        let caches = wanted;\n        if self.allowed.is_empty() {\n",
        _BY_KUNIT,
    ),
    Mutant(
        "drop-interval-in-milliseconds",
        _CACHE_DROP,
        "The host may drop caches a thousand times as often.",
        "i64::from(interval_s).saturating_mul(1_000_000_000);",
        "i64::from(interval_s).saturating_mul(1_000_000);",
        _BY_KUNIT,
    ),
    Mutant(
        "drop-time-not-kept",
        _CACHE_DROP,
        "It is not kept when caches were dropped, so the host may again at once.",
        "LAST.cmpxchg(last, now, Full)",
        "LAST.cmpxchg(last, last, Full)",
        (f"{_DROP_CACHES}::test_too_soon",),
    ),
    Mutant(
        "drop-waits-for-ever",
        _CACHE_DROP,
        "The answer waits until all caches are dropped, however long that takes.",
        "(now() >= self.deadline).then(",
        "(now() < 0).then(",
        (f"{_DROP_CACHES}::test_slow_drop_does_not_hold_up_the_answer",),
    ),
    # Isolated blocks.
    Mutant(
        "isolated-blocks-stay-out",
        _ISOLATED_RUN,
        "Isolated blocks are never put back.",
        "unsafe { bindings::next_putback_free_run(self.range.start(), self.range.pages()) };",
        "let _ = self.range;",
        _BY_KUNIT,
    ),
    Mutant(
        "isolation-without-a-share",
        _ISOLATION,
        "All that a zone can spare is isolated at once.",
        "let share = spare.checked_shr(self.share_shift).unwrap_or(0);",
        "let share = spare;",
        _BY_KUNIT,
    ),
    Mutant(
        "isolated-blocks-are-not-counted",
        _ISOLATED,
        "What is isolated for a hint is not in the account that the limits are for.",
        "        self.counters.isolate(pages);\n        Entered {\n            blocks: run,",
        "        Entered {\n            blocks: run,",
        _BY_KUNIT,
    ),
    Mutant(
        "isolate-does-not-wait",
        _ISOLATE,
        "Memory for which there is no room at once is left out instead of waited for.",
        "Isolated::Short if self.account.pages() > 0 => {",
        "Isolated::Short if self.account.pages() > usize::MAX - 1 => {",
        _BY_KUNIT,
    ),
    Mutant(
        "isolated-blocks-back-too-early",
        _BITMAP,
        "Blocks are put back before the host has returned the report that they are in.",
        "let buffer = BitmapBuffer::Report(report.seal(header), blocks);",
        "let report = report.seal(header);\n"
        "        drop(blocks);\n"
        "        let buffer = BitmapBuffer::Report(report, None);",
        _BY_KUNIT,
    ),
    Mutant(
        "isolated-report-without-the-flag",
        _BITMAP_REQUEST,
        "A report of isolated blocks does not say that they are.",
        "flags: if self.isolated && status != Status::Cancelled {",
        "flags: if self.isolated && status == Status::Cancelled {",
        _BY_KUNIT,
    ),
    # Features and configuration.
    Mutant(
        "bitmap-despite-poison",
        _DEVICE,
        "Free pages whose content the guest relies on are left out of the migration.",
        "             (init_on_free or page_poison)\\n\"\n            );\n"
        "            negotiation.refuse(FREE_PAGE_BITMAP);\n",
        "             (init_on_free or page_poison)\\n\"\n            );\n",
        ("test_bitmap_policy.py::test_refused_if_free_pages_have_content[page_poison=1]",),
    ),
    Mutant(
        "bitmap-beside-hinting",
        _DEVICE,
        "Both features that share a virtqueue are accepted.",
        "policy.strategy == Strategy::Off || negotiation.accepts(FREE_PAGE_BITMAP) {",
        "policy.strategy == Strategy::Off {",
        ("test_bitmap_policy.py::test_bitmap_is_taken_first",),
    ),
    Mutant(
        "walk-despite-poison",
        _DEVICE,
        "Pages that are not held are hinted at although the guest relies on their content.",
        "        } else if mm::free_pages_have_content() {\n            // A page that the host",
        "        } else if false && mm::free_pages_have_content() {\n            // A page",
        ("test_walk_refused.py::test_walk_refused[page_poison=1]",),
    ),
    Mutant(
        "reporting-without-poison-value",
        _DEVICE,
        "Free pages are reported to a host that cannot know what is in them.",
        "                 and the device does not offer page-poison\\n\"\n            );\n"
        "            negotiation.refuse(REPORTING);\n",
        "                 and the device does not offer page-poison\\n\"\n            );\n",
        ("test_poison.py::test_no_reports_without_the_value[page_poison=1]",),
    ),
    Mutant(
        "poison-value-not-told",
        _DEVICE,
        "The host is not told what free pages are filled with.",
        "            Self::tell_poison(dev)?;\n",
        "",
        ("test_poison.py::test_value_before_driver_ok[page_poison=1-2863311530]",),
    ),
    Mutant(
        "restore-forgets-poison",
        _DEVICE,
        "The host is not told again after a suspend what free pages are filled with.",
        "        Self::tell_poison(dev)\n",
        "        Ok(())\n",
        (f"{_DEVIATIONS}::test_poison_value_after_suspend[ours]",),
    ),
    Mutant(
        "restore-forgets-statistics",
        _DEVICE,
        "There is no buffer for statistics after a suspend.",
        "            statistics.restore()?;\n",
        "            let _ = statistics;\n",
        _RESTORE,
    ),
    Mutant(
        "restore-forgets-bitmap",
        _DEVICE,
        "There are no request buffers after a suspend.",
        "            bitmap.work.restore(dev)?;\n",
        "            let _ = bitmap;\n",
        ("test_bitmap_lifecycle.py::test_in_the_middle[suspend]",),
    ),
    Mutant(
        "queues-by-accepted-features",
        _DEVICE,
        "Queues are numbered by what the driver accepts, not by what the device offers.",
        "features.iter().any(|&feature| dev.offers(feature));",
        "features.iter().any(|&feature| dev.has_feature(feature));",
        (f"{_COMBINATIONS}[hinting-bitmap-reporting-no_statistics]",),
    ),
    Mutant(
        "config-written-in-wrong-byte-order",
        f"{_HELPERS}/virtio.c",
        "Fields of the configuration are written big-endian.",
        "__le32 raw = cpu_to_le32(value);",
        "__le32 raw = (__force __le32)cpu_to_be32(value);",
        _PROBE,
    ),
    Mutant(
        "statistics-swapped",
        _STATS,
        "Free and available memory have each other's tag.",
        "        push(bindings::VIRTIO_BALLOON_S_MEMFREE, bytes(memory.free));\n",
        "        push(bindings::VIRTIO_BALLOON_S_MEMFREE, bytes(memory.available));\n",
        ("test_statistics.py::test_values[idle]",),
    ),
    Mutant(
        "indirect-descriptors-accepted",
        _DEVICE,
        "Adding a buffer may need memory.",
        "        negotiation.refuse(Feature::RING_INDIRECT_DESC);\n",
        "",
        ("test_transports.py::test_everything_works[packed]",),
    ),
    # What the tracepoints say.
    Mutant(
        "overtaken-passes-for-cancelled",
        _BITMAP,
        "A request that is overtaken is traced as one that the host has taken back.",
        "state.cancel(Ending::Overtaken)",
        "state.cancel(Ending::Cancelled)",
        ("test_tracing_played.py::test_overtaken_and_cancelled",),
    ),
    Mutant(
        "undo-passes-for-move",
        _MOVING,
        "A page that goes again, as its move was given up, is counted and traced as one that moved.",
        "buffer, Purpose::Undo)",
        "buffer, Purpose::Move)",
        _BY_KUNIT,
    ),
    Mutant(
        "abandoned-passes-for-completed",
        _ANSWERS,
        "An answer that is dropped on the way is traced as a whole one.",
        "ending: Ending::Abandoned",
        "ending: Ending::Completed",
        ("test_tracing_played.py::test_abandoned",),
    ),
)
