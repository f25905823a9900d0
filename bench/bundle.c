/* The floor of bench/oci: what an OCI runtime makes of the bench's bundle, by bare system calls, and nothing else.
 *
 *   bundle run|create|start|delete ID STATE ROOTFS HIERARCHY...
 *
 * The container runs /bin/true on ROOTFS, read-only, with a cgroup ID in each HIERARCHY (a folder; one that holds
 * cgroup.controllers is version 2, and gets no limits). `create` leaves it waiting at a named pipe in the folder STATE,
 * with its pid beside it. No journal, record or check of anything; the filter is a few comparisons.
 */
#include "floor.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/seccomp.h>

struct container { const char *verb, *id, *rootfs, *gate, *pid; char **hierarchies; };

static void raise_loopback(void) {
    struct { char name[16]; short flags; char rest[22]; } request = {"lo", IFF_UP, {0}};
    long socket = MUST(CALL(socket, 2, 2 | O_CLOEXEC, 0, 0, 0));
    MUST(CALL(ioctl, socket, 0x8914 /* SIOCSIFFLAGS */, &request, 0, 0));
    CALL(close, socket, 0, 0, 0, 0);
}

/* Forty calls of no program that only runs true are refused: about the length of a compiled default profile's path. */
static void filter(void) {
    enum { REFUSED = 40, HEAD = 4 };
    struct sock_filter code[HEAD + REFUSED + 2] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
#if defined(__x86_64__)
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
#else
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_AARCH64, 1, 0),
#endif
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
    };
    for (int at = 0; at < REFUSED; at++)
        code[HEAD + at] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 420 + at, REFUSED - at, 0);
    code[HEAD + REFUSED] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[HEAD + REFUSED + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1);
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    MUST(CALL(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    MUST(CALL(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program, 0, 0));
}

static void child(const struct container *it, const long *cgroups, long ready, long gate) {
    char byte, *words[] = {"true", 0}, *environment[] = {"PATH=/bin", 0};
    uint64_t files[2] = {1024, 1024};
    for (; *cgroups >= 0; cgroups++) put(*cgroups, "tasks", "0");
    MUST(CALL(unshare, CLONE_NEWCGROUP, 0, 0, 0, 0));
    mount(0, "/", 0, REC | PRIVATE, 0);
    mount(it->rootfs, it->rootfs, 0, BIND | REC, 0);
    MUST(CALL(chdir, it->rootfs, 0, 0, 0, 0));
    mount("proc", "proc", "proc", NOSUID | NOEXEC | NODEV, 0);
    make_dev();
    mount("sysfs", "sys", "sysfs", NOSUID | NOEXEC | NODEV | RDONLY, 0);
    mount_cgroups(it->hierarchies);
    hide();
    raise_loopback();
    mount(0, it->rootfs, 0, BIND | REMOUNT | RDONLY, 0);
    MUST(CALL(pivot_root, ".", ".", 0, 0, 0));
    MUST(CALL(umount2, ".", DETACH, 0, 0, 0));
    MUST(CALL(chdir, "/", 0, 0, 0, 0));
    MUST(CALL(sethostname, "floor", 5, 0, 0, 0));
    MUST(CALL(prlimit64, 0, 7 /* RLIMIT_NOFILE */, files, 0, 0));
    if (gate >= 0) {
        MUST(CALL(write, ready, "", 1, 0, 0));
        if (MUST(CALL(read, gate, &byte, 1, 0, 0)) != 1) CALL(exit_group, 125, 0, 0, 0, 0);
    }
    drop_capabilities();
    filter();
    MUST(CALL(execve, "/bin/true", words, environment, 0, 0));
}

static void copy_setting(const char *hierarchy, long folder, const char *name) {
    char path[256], text[256];
    long file = MUST(CALL(openat, FDCWD, JOIN(path, hierarchy, "/", name), O_CLOEXEC, 0, 0));
    long size = MUST(CALL(read, file, text, sizeof text - 1, 0, 0));
    CALL(close, file, 0, 0, 0, 0);
    text[size] = 0;
    put(folder, name, text);
}

/* The limits of the bench's config.json. */
static long make_limited(const char *hierarchy, const char *id) {
    static const char *limits[][2] = {
        {"memory.limit_in_bytes", "268435456"}, {"cpu.shares", "512"}, {"cpu.cfs_quota_us", "100000"}, {"pids.max", "100"},
    };
    long folder = make_cgroup(hierarchy, id);
    if (CALL(faccessat, folder, "tasks", 0, 0, 0) != 0) return folder;
    for (size_t at = 0; at < sizeof limits / sizeof *limits; at++)
        if (CALL(faccessat, folder, limits[at][0], 0, 0, 0) == 0) put(folder, limits[at][0], limits[at][1]);
    if (CALL(faccessat, folder, "cpuset.cpus", 0, 0, 0) == 0) {
        copy_setting(hierarchy, folder, "cpuset.cpus");
        copy_setting(hierarchy, folder, "cpuset.mems");
    }
    return folder;
}

static long begin(const struct container *it) {
    char path[256], space[24], byte;
    int pidfd = -1, ready[2] = {-1, -1}, status[32] = {0};
    long cgroups[20], made = 0, gate = -1;
    int stays = it->verb[0] == 'r';
    struct clone_args args = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    for (; it->hierarchies[made]; made++) cgroups[made] = make_limited(it->hierarchies[made], it->id);
    cgroups[made] = -1;
    if (JOIN(path, it->hierarchies[0], "/cgroup.controllers"), exists(path)) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroups[0];
        cgroups[0] = -1;
    }
    if (!stays) {
        MUST(CALL(mknodat, FDCWD, it->gate, 0010600, 0, 0));
        gate = MUST(CALL(openat, FDCWD, it->gate, 2 | O_CLOEXEC, 0, 0));
        MUST(CALL(pipe2, ready, O_CLOEXEC, 0, 0, 0));
    }
    long pid = MUST(CALL(clone3, &args, sizeof args, 0, 0, 0));
    if (pid == 0) child(it, cgroups, ready[1], gate);
    if (stays) {
        MUST(CALL(waitid, P_PIDFD, pidfd, status, WEXITED, 0));
        return status[6]; /* si_status: after signo, errno, code, padding, pid and uid */
    }
    CALL(close, ready[1], 0, 0, 0, 0);
    if (MUST(CALL(read, ready[0], &byte, 1, 0, 0)) != 1) fail(__LINE__, -3);
    long file = MUST(CALL(openat, FDCWD, it->pid, 01101 | O_CLOEXEC, 0644, 0));
    const char *text = number_text(pid, space + sizeof space);
    MUST(CALL(write, file, text, length(text), 0, 0));
    return 0;
}

static long start(const struct container *it) {
    long gate = MUST(CALL(openat, FDCWD, it->gate, 1 | O_CLOEXEC, 0, 0));
    MUST(CALL(write, gate, "", 1, 0, 0));
    return 0;
}

static void remove(const struct container *it) {
    char path[256];
    for (char **hierarchy = it->hierarchies; *hierarchy; hierarchy++)
        MUST(CALL(unlinkat, FDCWD, JOIN(path, *hierarchy, "/", it->id), REMOVEDIR, 0, 0));
}

static long run(int count, char **words) {
    if (count < 6 || count > 20) fail(__LINE__, -22);
    char gate[256], pid[256];
    JOIN(gate, words[3], "/", words[2], ".gate");
    JOIN(pid, words[3], "/", words[2], ".pid");
    struct container it = {words[1], words[2], words[4], gate, pid, words + 5};
    switch (it.verb[0]) {
    case 'r': {
        long status = begin(&it);
        remove(&it);
        return status;
    }
    case 'c': return begin(&it);
    case 's': return start(&it);
    case 'd':
        remove(&it);
        MUST(CALL(unlinkat, FDCWD, gate, 0, 0, 0));
        MUST(CALL(unlinkat, FDCWD, pid, 0, 0, 0));
        return 0;
    default: fail(__LINE__, -22); return 125;
    }
}
