// SPDX-License-Identifier: GPL-2.0
/*
 * Test only: keeps the coverage counters of the balloon module where they outlive it.
 *
 * The module adds a bias to the address of each counter (-runtime-counter-relocation). Before its
 * first instruction runs, the bias is set so that it counts in memory that the kernel was told to
 * leave alone (memmap= on its command line). That memory is at the same physical address in every
 * guest, so the host can read it at any time, whatever became of the module or of the guest.
 */

#include <linux/io.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#define VARIANTS 2

static unsigned long start;
module_param(start, ulong, 0444);
MODULE_PARM_DESC(start, "Physical address of the memory");

static unsigned long size;
module_param(size, ulong, 0444);
MODULE_PARM_DESC(size, "Bytes for the counters of each variant of the module");

static void *memory;

static u64 *symbol(struct module *module, const char *name)
{
	struct mod_kallsyms *symbols;
	unsigned int i;

	guard(rcu)();
	symbols = rcu_dereference(module->kallsyms);
	for (i = 1; i < symbols->num_symtab; i++) {
		Elf_Sym *entry = &symbols->symtab[i];

		if (entry->st_shndx != SHN_UNDEF && !strcmp(symbols->strtab + entry->st_name, name))
			return (u64 *)entry->st_value;
	}
	return NULL;
}

/* A module that is loaded; its own code has not run yet. */
static int redirect(struct notifier_block *block, unsigned long event, void *data)
{
	struct module *module = data;
	u64 *variant, *bias;

	if (event != MODULE_STATE_COMING || strcmp(module->name, "virtio_balloon_rs"))
		return NOTIFY_DONE;

	variant = symbol(module, "balloon_coverage_variant");
	bias = symbol(module, "__llvm_profile_counter_bias");
	if (!variant || !bias || *variant >= VARIANTS) {
		pr_info("%s does not count\n", module->name);
		return NOTIFY_DONE;
	}
	*bias = (unsigned long)(memory + *variant * size) - (unsigned long)variant;
	return NOTIFY_OK;
}

static struct notifier_block redirector = {
	.notifier_call = redirect,
};

static int __init balloon_coverage_init(void)
{
	memory = memremap(start, VARIANTS * size, MEMREMAP_WB);
	if (!memory)
		return -ENOMEM;
	return register_module_notifier(&redirector);
}
module_init(balloon_coverage_init);

/* There is no exit: the counters have to be there for as long as the guest is. */

MODULE_DESCRIPTION("Keeps the coverage counters of the virtio balloon module");
MODULE_LICENSE("GPL");
