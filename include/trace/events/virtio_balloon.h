/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints of the virtio balloon driver in Rust.
 *
 * Their names and fields are an interface: Documentation/admin-guide/virtio-balloon-tracing.rst has
 * them with their units. What there is may not change its meaning; new fields go to the end.
 *
 * All fire in process context, with no spinlock held and interrupts on.
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM virtio_balloon

#if !defined(_TRACE_VIRTIO_BALLOON_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VIRTIO_BALLOON_H

#include <linux/tracepoint.h>
#include <linux/types.h>

/*
 * The numbers are those of the enums in drivers/virtio/virtio_balloon/events.rs, and of
 * include/uapi/linux/virtio_balloon_bitmap.h for the status of a report and the result of a drop.
 */
#define show_virtio_balloon_kind(kind)			\
	__print_symbolic(kind,				\
			 { 0, "hint" },			\
			 { 1, "bitmap" })

#define show_virtio_balloon_mode(mode)			\
	__print_symbolic(mode,				\
			 { 0, "hold" },			\
			 { 1, "walk" },			\
			 { 2, "isolate" })

#define show_virtio_balloon_outcome(outcome)		\
	__print_symbolic(outcome,			\
			 { 0, "completed" },		\
			 { 1, "interrupted" },		\
			 { 2, "overtaken" },		\
			 { 3, "cancelled" },		\
			 { 4, "abandoned" })

#define show_virtio_balloon_status(status)		\
	__print_symbolic(status,			\
			 { 0, "done" },			\
			 { 1, "more" })

#define show_virtio_balloon_purpose(purpose)		\
	__print_symbolic(purpose,			\
			 { 0, "target" },		\
			 { 1, "oom" },			\
			 { 2, "move" },			\
			 { 3, "undo" })

#define show_virtio_balloon_format(format)		\
	__print_symbolic(format,			\
			 { 0, "numbers" },		\
			 { 1, "extents" })

#define show_virtio_balloon_drop_result(result)		\
	__print_symbolic(result,			\
			 { 1, "dropped" },		\
			 { 2, "refused" },		\
			 { 3, "too-soon" },		\
			 { 4, "timeout" },		\
			 { 5, "failed" })

#define show_virtio_balloon_wait(wait)			\
	__print_symbolic(wait,				\
			 { 0, "unbind" },		\
			 { 1, "oom" },			\
			 { 2, "move" })

TRACE_EVENT(virtio_balloon_request_seen,

	TP_PROTO(int dev, unsigned int kind, u32 id, unsigned int error),

	TP_ARGS(dev, kind, id, error),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(unsigned int, kind)
		__field(u32, id)
		__field(unsigned int, error)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->kind = kind;
		__entry->id = id;
		__entry->error = error;
	),

	TP_printk("dev=%d kind=%s id=%u error=%u",
		  __entry->dev, show_virtio_balloon_kind(__entry->kind), __entry->id,
		  __entry->error)
);

TRACE_EVENT(virtio_balloon_request_begin,

	TP_PROTO(int dev, unsigned int kind, u32 id, unsigned int mode, unsigned int order),

	TP_ARGS(dev, kind, id, mode, order),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(unsigned int, kind)
		__field(u32, id)
		__field(unsigned int, mode)
		__field(unsigned int, order)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->kind = kind;
		__entry->id = id;
		__entry->mode = mode;
		__entry->order = order;
	),

	TP_printk("dev=%d kind=%s id=%u mode=%s order=%u",
		  __entry->dev, show_virtio_balloon_kind(__entry->kind), __entry->id,
		  show_virtio_balloon_mode(__entry->mode), __entry->order)
);

TRACE_EVENT(virtio_balloon_request_end,

	TP_PROTO(int dev, unsigned int kind, u32 id, unsigned int outcome, u64 ns,
		 unsigned long elements, unsigned long blocks, unsigned long pages,
		 unsigned long bytes, unsigned long holds, u64 longest_hold_ns),

	TP_ARGS(dev, kind, id, outcome, ns, elements, blocks, pages, bytes, holds,
		longest_hold_ns),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(unsigned int, kind)
		__field(u32, id)
		__field(unsigned int, outcome)
		__field(u64, ns)
		__field(unsigned long, elements)
		__field(unsigned long, blocks)
		__field(unsigned long, pages)
		__field(unsigned long, bytes)
		__field(unsigned long, holds)
		__field(u64, longest_hold_ns)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->kind = kind;
		__entry->id = id;
		__entry->outcome = outcome;
		__entry->ns = ns;
		__entry->elements = elements;
		__entry->blocks = blocks;
		__entry->pages = pages;
		__entry->bytes = bytes;
		__entry->holds = holds;
		__entry->longest_hold_ns = longest_hold_ns;
	),

	TP_printk("dev=%d kind=%s id=%u outcome=%s ns=%llu elements=%lu blocks=%lu pages=%lu bytes=%lu holds=%lu longest_hold_ns=%llu",
		  __entry->dev, show_virtio_balloon_kind(__entry->kind), __entry->id,
		  show_virtio_balloon_outcome(__entry->outcome), __entry->ns, __entry->elements,
		  __entry->blocks, __entry->pages, __entry->bytes, __entry->holds,
		  __entry->longest_hold_ns)
);

TRACE_EVENT(virtio_balloon_walk_batch,

	TP_PROTO(int dev, u32 id, unsigned int mode, int nid, const char *zone,
		 unsigned int order, unsigned long entries, unsigned long blocks,
		 unsigned long pages, u64 hold_ns),

	TP_ARGS(dev, id, mode, nid, zone, order, entries, blocks, pages, hold_ns),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, id)
		__field(unsigned int, mode)
		__field(int, nid)
		__string(zone, zone)
		__field(unsigned int, order)
		__field(unsigned long, entries)
		__field(unsigned long, blocks)
		__field(unsigned long, pages)
		__field(u64, hold_ns)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->id = id;
		__entry->mode = mode;
		__entry->nid = nid;
		__assign_str(zone);
		__entry->order = order;
		__entry->entries = entries;
		__entry->blocks = blocks;
		__entry->pages = pages;
		__entry->hold_ns = hold_ns;
	),

	TP_printk("dev=%d id=%u mode=%s nid=%d zone=%s order=%u entries=%lu blocks=%lu pages=%lu hold_ns=%llu",
		  __entry->dev, __entry->id, show_virtio_balloon_mode(__entry->mode), __entry->nid,
		  __get_str(zone), __entry->order, __entry->entries, __entry->blocks,
		  __entry->pages, __entry->hold_ns)
);

TRACE_EVENT(virtio_balloon_report,

	TP_PROTO(int dev, u32 id, unsigned int status, unsigned int order, unsigned long pfn,
		 unsigned long pages, unsigned long bits, unsigned long blocks,
		 unsigned long bytes),

	TP_ARGS(dev, id, status, order, pfn, pages, bits, blocks, bytes),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, id)
		__field(unsigned int, status)
		__field(unsigned int, order)
		__field(unsigned long, pfn)
		__field(unsigned long, pages)
		__field(unsigned long, bits)
		__field(unsigned long, blocks)
		__field(unsigned long, bytes)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->id = id;
		__entry->status = status;
		__entry->order = order;
		__entry->pfn = pfn;
		__entry->pages = pages;
		__entry->bits = bits;
		__entry->blocks = blocks;
		__entry->bytes = bytes;
	),

	TP_printk("dev=%d id=%u status=%s order=%u pfn=0x%lx pages=%lu bits=%lu blocks=%lu bytes=%lu",
		  __entry->dev, __entry->id, show_virtio_balloon_status(__entry->status),
		  __entry->order, __entry->pfn, __entry->pages, __entry->bits, __entry->blocks,
		  __entry->bytes)
);

TRACE_EVENT(virtio_balloon_hint,

	TP_PROTO(int dev, u32 id, unsigned long pfn, unsigned long pages),

	TP_ARGS(dev, id, pfn, pages),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, id)
		__field(unsigned long, pfn)
		__field(unsigned long, pages)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->id = id;
		__entry->pfn = pfn;
		__entry->pages = pages;
	),

	TP_printk("dev=%d id=%u pfn=0x%lx pages=%lu",
		  __entry->dev, __entry->id, __entry->pfn, __entry->pages)
);

DECLARE_EVENT_CLASS(virtio_balloon_pages,

	TP_PROTO(int dev, unsigned int purpose, unsigned int format, unsigned long pages,
		 unsigned long block_pages, unsigned long bytes),

	TP_ARGS(dev, purpose, format, pages, block_pages, bytes),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(unsigned int, purpose)
		__field(unsigned int, format)
		__field(unsigned long, pages)
		__field(unsigned long, block_pages)
		__field(unsigned long, bytes)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->purpose = purpose;
		__entry->format = format;
		__entry->pages = pages;
		__entry->block_pages = block_pages;
		__entry->bytes = bytes;
	),

	TP_printk("dev=%d purpose=%s format=%s pages=%lu block_pages=%lu bytes=%lu",
		  __entry->dev, show_virtio_balloon_purpose(__entry->purpose),
		  show_virtio_balloon_format(__entry->format), __entry->pages,
		  __entry->block_pages, __entry->bytes)
);

DEFINE_EVENT(virtio_balloon_pages, virtio_balloon_inflate,

	TP_PROTO(int dev, unsigned int purpose, unsigned int format, unsigned long pages,
		 unsigned long block_pages, unsigned long bytes),

	TP_ARGS(dev, purpose, format, pages, block_pages, bytes)
);

DEFINE_EVENT(virtio_balloon_pages, virtio_balloon_deflate,

	TP_PROTO(int dev, unsigned int purpose, unsigned int format, unsigned long pages,
		 unsigned long block_pages, unsigned long bytes),

	TP_ARGS(dev, purpose, format, pages, block_pages, bytes)
);

TRACE_EVENT(virtio_balloon_size,

	TP_PROTO(int dev, u32 num_pages, u32 actual),

	TP_ARGS(dev, num_pages, actual),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, num_pages)
		__field(u32, actual)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->num_pages = num_pages;
		__entry->actual = actual;
	),

	TP_printk("dev=%d num_pages=%u actual=%u",
		  __entry->dev, __entry->num_pages, __entry->actual)
);

TRACE_EVENT(virtio_balloon_cache_drop,

	TP_PROTO(int dev, u32 id, unsigned int asked, unsigned int allowed, unsigned int dropped,
		 unsigned int result, u64 balloon_pages, u64 ns),

	TP_ARGS(dev, id, asked, allowed, dropped, result, balloon_pages, ns),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(u32, id)
		__field(unsigned int, asked)
		__field(unsigned int, allowed)
		__field(unsigned int, dropped)
		__field(unsigned int, result)
		__field(u64, balloon_pages)
		__field(u64, ns)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->id = id;
		__entry->asked = asked;
		__entry->allowed = allowed;
		__entry->dropped = dropped;
		__entry->result = result;
		__entry->balloon_pages = balloon_pages;
		__entry->ns = ns;
	),

	TP_printk("dev=%d id=%u asked=%u allowed=%u dropped=%u result=%s balloon_pages=%llu ns=%llu",
		  __entry->dev, __entry->id, __entry->asked, __entry->allowed, __entry->dropped,
		  show_virtio_balloon_drop_result(__entry->result), __entry->balloon_pages,
		  __entry->ns)
);

TRACE_EVENT(virtio_balloon_reporting,

	TP_PROTO(int dev, unsigned long blocks, unsigned long pages, int error, u64 ns),

	TP_ARGS(dev, blocks, pages, error, ns),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(unsigned long, blocks)
		__field(unsigned long, pages)
		__field(int, error)
		__field(u64, ns)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->blocks = blocks;
		__entry->pages = pages;
		__entry->error = error;
		__entry->ns = ns;
	),

	TP_printk("dev=%d blocks=%lu pages=%lu error=%d ns=%llu",
		  __entry->dev, __entry->blocks, __entry->pages, __entry->error, __entry->ns)
);

TRACE_EVENT(virtio_balloon_give_up,

	TP_PROTO(int dev, unsigned int wait, unsigned long pages, u64 ns),

	TP_ARGS(dev, wait, pages, ns),

	TP_STRUCT__entry(
		__field(int, dev)
		__field(unsigned int, wait)
		__field(unsigned long, pages)
		__field(u64, ns)
	),

	TP_fast_assign(
		__entry->dev = dev;
		__entry->wait = wait;
		__entry->pages = pages;
		__entry->ns = ns;
	),

	TP_printk("dev=%d wait=%s pages=%lu ns=%llu",
		  __entry->dev, show_virtio_balloon_wait(__entry->wait), __entry->pages,
		  __entry->ns)
);

#endif /* _TRACE_VIRTIO_BALLOON_H */

/* Read again by this, so it stands outside. */
#include <trace/define_trace.h>
