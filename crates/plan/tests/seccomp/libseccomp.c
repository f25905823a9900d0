/* Answers questions about libseccomp, one a line: see libseccomp.rs. */
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static scmp_filter_ctx filter;
static int rules;

static void begin(uint32_t action, uint32_t native)
{
	if (filter)
		seccomp_release(filter);
	filter = seccomp_init(action);
	rules = 0;
	if (native != seccomp_arch_native()) {
		seccomp_arch_add(filter, native);
		seccomp_arch_remove(filter, seccomp_arch_native());
	}
	puts("0");
}

/* ACTION NAME {ARG OP A B} */
static void rule(char *words)
{
	struct scmp_arg_cmp args[6];
	unsigned count = 0;
	uint32_t action = strtoul(strtok(words, " "), NULL, 0);
	int call = seccomp_syscall_resolve_name(strtok(NULL, " "));
	char *word;

	while ((word = strtok(NULL, " ")) && count < 6) {
		args[count].arg = atoi(word);
		args[count].op = atoi(strtok(NULL, " "));
		args[count].datum_a = strtoull(strtok(NULL, " "), NULL, 0);
		args[count].datum_b = strtoull(strtok(NULL, " "), NULL, 0);
		count++;
	}
	rules++;
	printf("%d\n", call == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(filter, action, call, count, args));
}

static void export(void)
{
	FILE *file = tmpfile();
	struct sock_filter one;

	/* Without the tree, libseccomp 2.5 forgets to load the number if the first rule is for a call that the ABI lacks;
	 * runc asks for it too. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, rules ? 2 : 1);
	if (!file || seccomp_export_bpf(filter, fileno(file)) < 0)
		exit(1);
	rewind(file);
	while (fread(&one, sizeof(one), 1, file) == 1)
		printf("%u,%u,%u,%u ", one.code, one.jt, one.jf, one.k);
	putchar('\n');
	fclose(file);
}

int main(void)
{
	static char line[1 << 16];
	char *rest;

	/* On some filters libseccomp 2.5 never comes back. */
	alarm(300);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		rest = strchr(line, ' ');
		if (rest)
			*rest++ = 0;
		if (!strcmp(line, "version")) {
			const struct scmp_version *version = seccomp_version();
			printf("%u.%u.%u\n", version->major, version->minor, version->micro);
		} else if (!strcmp(line, "number")) { /* ARCH NAME */
			uint32_t arch = strtoul(strtok(rest, " "), NULL, 0);
			printf("%d\n", seccomp_syscall_resolve_name_arch(arch, strtok(NULL, " ")));
		} else if (!strcmp(line, "name")) { /* ARCH NUMBER */
			uint32_t arch = strtoul(strtok(rest, " "), NULL, 0);
			char *name = seccomp_syscall_resolve_num_arch(arch, atoi(strtok(NULL, " ")));
			puts(name ? name : "");
			free(name);
		} else if (!strcmp(line, "begin")) { /* ACTION NATIVE */
			uint32_t action = strtoul(strtok(rest, " "), NULL, 0);
			begin(action, strtoul(strtok(NULL, " "), NULL, 0));
		} else if (!strcmp(line, "arch")) {
			printf("%d\n", seccomp_arch_add(filter, strtoul(rest, NULL, 0)));
		} else if (!strcmp(line, "rule")) {
			rule(rest);
		} else if (!strcmp(line, "export")) {
			export();
		}
		fflush(stdout);
	}
	return 0;
}
