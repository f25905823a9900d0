/* What the floor programs share: bare system calls, and the parts of a container that are the same for all of them.
 *
 * Without libc, since that one's start is half a millisecond in a virtual machine: cc -O2 -static -nostdlib. A program
 * defines run(), whose result is its exit status.
 */
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/prctl.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/veth.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NOSUID = 2, NODEV = 4, NOEXEC = 8, REMOUNT = 32, BIND = 4096, RDONLY = 1, REC = 16384, PRIVATE = 1 << 18,
    DETACH = 2, O_CLOEXEC = 02000000, O_DIRECTORY = 0200000, REMOVEDIR = 0x200,
    FDCWD = -100, P_PIDFD = 3, WEXITED = 4, SIGCHLD = 17,
};

static long call(long number, long a, long b, long c, long d, long e) {
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#else
#error "no system call for this machine"
#endif
}
#define CALL(name, a, b, c, d, e) call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

/* gcc may call these for loops and struct copies. */
void *memcpy(void *to, const void *from, size_t size) {
    for (size_t at = 0; at < size; at++) ((char *)to)[at] = ((const char *)from)[at];
    return to;
}
void *memset(void *to, int byte, size_t size) {
    for (size_t at = 0; at < size; at++) ((char *)to)[at] = (char)byte;
    return to;
}
static size_t length(const char *text) {
    size_t size = 0;
    while (text[size]) size++;
    return size;
}

static char *number_text(long number, char *end) {
    *--end = 0;
    do *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

static void fail(int line, long result) {
    char space[24], *text = number_text(line, space + sizeof space);
    CALL(write, 2, "floor: line ", 12, 0, 0);
    CALL(write, 2, text, length(text), 0, 0);
    text = number_text(-result, space + sizeof space);
    CALL(write, 2, ": errno ", 8, 0, 0);
    CALL(write, 2, text, length(text), 0, 0);
    CALL(write, 2, "\n", 1, 0, 0);
    CALL(exit_group, 125, 0, 0, 0, 0);
}
#define MUST(expression) \
    ({ long must_ = (expression); if (must_ < 0) fail(__LINE__, must_); must_; })

/* Joins texts; the pieces end with a null pointer. */
static char *join(char *to, const char **pieces) {
    char *at = to;
    for (; *pieces; pieces++) {
        size_t size = length(*pieces);
        memcpy(at, *pieces, size);
        at += size;
    }
    *at = 0;
    return to;
}
#define JOIN(to, ...) join(to, (const char *[]){__VA_ARGS__, 0})

static void put(long folder, const char *name, const char *text) {
    long file = MUST(CALL(openat, folder, name, 1 | O_CLOEXEC, 0, 0));
    MUST(CALL(write, file, text, length(text), 0, 0));
    CALL(close, file, 0, 0, 0, 0);
}

static int exists(const char *path) { return CALL(faccessat, FDCWD, path, 0, 0, 0) == 0; }

/* ---- mounts ---- */

static void mount(const char *source, const char *target, const char *type, long flags, const char *data) {
    MUST(CALL(mount, source, target, type, flags, data));
}

static void make_dev(void) {
    static const struct { const char *name; int major, minor; } nodes[] = {
        {"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7}, {"dev/random", 1, 8}, {"dev/urandom", 1, 9},
        {"dev/tty", 5, 0},
    };
    static const char *links[][2] = {
        {"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
        {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
    };
    mount("tmpfs", "dev", "tmpfs", NOSUID, "mode=755,size=65536k");
    for (size_t at = 0; at < sizeof nodes / sizeof *nodes; at++)
        MUST(CALL(mknodat, FDCWD, nodes[at].name, 0020666, nodes[at].major << 8 | nodes[at].minor, 0));
    for (size_t at = 0; at < sizeof links / sizeof *links; at++)
        MUST(CALL(symlinkat, links[at][0], FDCWD, links[at][1], 0, 0));
    MUST(CALL(mkdirat, FDCWD, "dev/pts", 0755, 0, 0));
    MUST(CALL(mkdirat, FDCWD, "dev/shm", 0755, 0, 0));
    MUST(CALL(mkdirat, FDCWD, "dev/mqueue", 0755, 0, 0));
    mount("devpts", "dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    mount("shm", "dev/shm", "tmpfs", NOSUID | NOEXEC | NODEV, "mode=1777,size=65536k");
    mount("mqueue", "dev/mqueue", "mqueue", NOSUID | NOEXEC | NODEV, 0);
}

/* What docker's default configuration hides and makes read-only. */
static void hide(void) {
    static const char *files[] = {"proc/kcore", "proc/keys", "proc/timer_list", "proc/latency_stats"};
    static const char *folders[] = {"proc/acpi", "proc/scsi", "sys/firmware", "proc/asound", "sys/devices/virtual/powercap"};
    static const char *frozen[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
    for (size_t at = 0; at < sizeof files / sizeof *files; at++)
        if (exists(files[at])) mount("dev/null", files[at], 0, BIND, 0);
    for (size_t at = 0; at < sizeof folders / sizeof *folders; at++)
        if (exists(folders[at])) mount("tmpfs", folders[at], "tmpfs", RDONLY, 0);
    for (size_t at = 0; at < sizeof frozen / sizeof *frozen; at++)
        if (exists(frozen[at])) {
            mount(frozen[at], frozen[at], 0, BIND | REC, 0);
            mount(0, frozen[at], 0, BIND | REMOUNT | RDONLY | NOSUID | NODEV | NOEXEC, 0);
        }
}

static const char *last_part(const char *path) {
    const char *name = path;
    for (; *path; path++)
        if (*path == '/') name = path + 1;
    return name;
}

static void mount_cgroups(char **hierarchies) {
    char path[256];
    if (JOIN(path, *hierarchies, "/cgroup.controllers"), exists(path)) {
        mount("cgroup", "sys/fs/cgroup", "cgroup2", NOSUID | NODEV | NOEXEC | RDONLY, 0);
        return;
    }
    mount("tmpfs", "sys/fs/cgroup", "tmpfs", NOSUID | NODEV | NOEXEC, "mode=755");
    for (; *hierarchies; hierarchies++) {
        const char *name = last_part(*hierarchies);
        MUST(CALL(mkdirat, FDCWD, JOIN(path, "sys/fs/cgroup/", name), 0755, 0, 0));
        /* The one of systemd's has no controllers, but a name. */
        const char *data = name[0] == 's' ? "none,name=systemd" : name;
        mount("cgroup", path, "cgroup", NOSUID | NODEV | NOEXEC | RDONLY, data);
    }
    mount(0, "sys/fs/cgroup", 0, REMOUNT | NOSUID | NODEV | NOEXEC | RDONLY, "mode=755");
}

/* ---- cgroups ---- */

/* A cgroup in one hierarchy; version 1's device list where it is that one. The folder stays open for the child. */
static long make_cgroup(const char *hierarchy, const char *name) {
    char path[256];
    MUST(CALL(mkdirat, FDCWD, JOIN(path, hierarchy, "/", name), 0755, 0, 0));
    long folder = MUST(CALL(openat, FDCWD, path, O_DIRECTORY | O_CLOEXEC, 0, 0));
    if (CALL(faccessat, folder, "devices.deny", 0, 0, 0) == 0) {
        static const char *allowed[] = {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
                                        "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"};
        put(folder, "devices.deny", "a");
        for (size_t at = 0; at < sizeof allowed / sizeof *allowed; at++) put(folder, "devices.allow", allowed[at]);
    }
    return folder;
}

/* Docker's fourteen. */
static void drop_capabilities(void) {
    static const int kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_MKNOD, CAP_NET_RAW, CAP_SETGID,
                               CAP_SETUID, CAP_SETFCAP, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL,
                               CAP_AUDIT_WRITE};
    uint64_t keep = 0;
    for (size_t at = 0; at < sizeof kept / sizeof *kept; at++) keep |= 1ULL << kept[at];
    for (int one = 0; one <= CAP_LAST_CAP; one++)
        if (!(keep >> one & 1)) MUST(CALL(prctl, PR_CAPBSET_DROP, one, 0, 0, 0));
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{(uint32_t)keep, (uint32_t)keep, 0}, {(uint32_t)(keep >> 32), (uint32_t)(keep >> 32), 0}};
    MUST(CALL(capset, &header, sets, 0, 0, 0));
}

static long run(int count, char **words);

void begin_c(long *stack) { CALL(exit_group, run((int)stack[0], (char **)(stack + 1)), 0, 0, 0, 0); }

#if defined(__x86_64__)
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call begin_c\n");
#else
__asm__(".globl _start\n_start: mov x0, sp\n bl begin_c\n");
#endif
