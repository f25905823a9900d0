/* The floor of bench/run: a container's namespaces, overlay, cgroup and veth by bare system calls, and nothing else.
 *
 *   floor LOWER SCRATCH BRIDGE NUMBER HIERARCHY...
 *
 * runs /bin/true in a container whose root is an overlay over LOWER with its upper in SCRATCH (one disk), with eth0
 * 172.31.255.NUMBER/24 on BRIDGE (which has .1) and a cgroup in each HIERARCHY (a folder; one that holds
 * cgroup.controllers is version 2), and removes what it made. Ends with the status of true; else names the line.
 *
 * Without libc, since that one's start is half a millisecond in a virtual machine: cc -O2 -static -nostdlib. No seccomp
 * filter, firewall, id, state, log or generated files in /etc: each would be a choice, and the floor makes none.
 */
#include "floor.h"

/* ---- rtnetlink: several messages in one send, each acknowledged ---- */

struct batch { char bytes[1024]; size_t size; int messages; };

static void *grow(struct batch *batch, size_t size) {
    void *place = batch->bytes + batch->size;
    batch->size += NLMSG_ALIGN(size);
    return place;
}
static struct nlmsghdr *begin(struct batch *batch, int type, int flags) {
    struct nlmsghdr *header = grow(batch, sizeof *header);
    header->nlmsg_type = (uint16_t)type;
    header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    header->nlmsg_seq = (uint32_t)++batch->messages;
    return header;
}
static void end(struct batch *batch, struct nlmsghdr *header) {
    header->nlmsg_len = (uint32_t)(batch->bytes + batch->size - (char *)header);
}
static struct rtattr *attribute(struct batch *batch, int type, const void *value, size_t size) {
    struct rtattr *head = grow(batch, sizeof *head);
    head->rta_type = (uint16_t)type;
    head->rta_len = (uint16_t)(sizeof *head + size);
    memcpy(grow(batch, size), value, size);
    return head;
}
static void close_nest(struct batch *batch, struct rtattr *head) {
    head->rta_len = (uint16_t)(batch->bytes + batch->size - (char *)head);
}
static void exchange(struct batch *batch) {
    long socket = MUST(CALL(socket, 16, 3 | O_CLOEXEC, NETLINK_ROUTE, 0, 0));
    char answers[4096];
    MUST(CALL(write, socket, batch->bytes, batch->size, 0, 0));
    while (batch->messages > 0) {
        long size = MUST(CALL(read, socket, answers, sizeof answers, 0, 0));
        struct nlmsghdr *answer = (void *)answers;
        for (; NLMSG_OK(answer, size); answer = NLMSG_NEXT(answer, size), batch->messages--)
            if (answer->nlmsg_type == NLMSG_ERROR) MUST(((struct nlmsgerr *)NLMSG_DATA(answer))->error);
    }
    CALL(close, socket, 0, 0, 0, 0);
}

/* The pair: its far end is born as eth0 in the child's namespace, its near end up and on the bridge. */
static void make_veth(int bridge, int child, const char *near) {
    struct batch batch = {0};
    struct nlmsghdr *header = begin(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg *link = grow(&batch, sizeof *link);
    link->ifi_flags = link->ifi_change = 1; /* IFF_UP */
    attribute(&batch, IFLA_IFNAME, near, length(near) + 1);
    attribute(&batch, IFLA_MASTER, &bridge, sizeof bridge);
    struct rtattr *info = attribute(&batch, IFLA_LINKINFO, "", 0);
    attribute(&batch, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = attribute(&batch, IFLA_INFO_DATA, "", 0);
    struct rtattr *peer = attribute(&batch, VETH_INFO_PEER, "", 0);
    grow(&batch, sizeof(struct ifinfomsg));
    attribute(&batch, IFLA_IFNAME, "eth0", 5);
    attribute(&batch, IFLA_NET_NS_PID, &child, sizeof child);
    close_nest(&batch, peer);
    close_nest(&batch, data);
    close_nest(&batch, info);
    end(&batch, header);
    exchange(&batch);
}

static void raise_link(struct batch *batch, int index) {
    struct nlmsghdr *header = begin(batch, RTM_NEWLINK, 0);
    struct ifinfomsg *link = grow(batch, sizeof *link);
    link->ifi_index = index;
    link->ifi_flags = link->ifi_change = 1;
    end(batch, header);
}

/* In the child: lo and eth0 up, the address, the default route. A new namespace numbers lo 1; a device that is born
 * there gets the next free index, which the kernel tells by name. */
static int index_of(const char *name) {
    struct { char name[16]; int index; char rest[20]; } request = {0};
    long socket = MUST(CALL(socket, 2, 2 | O_CLOEXEC, 0, 0, 0));
    memcpy(request.name, name, length(name));
    MUST(CALL(ioctl, socket, 0x8933 /* SIOCGIFINDEX */, &request, 0, 0));
    CALL(close, socket, 0, 0, 0, 0);
    return request.index;
}
static void configure(int number) {
    struct batch batch = {0};
    int eth0 = index_of("eth0");
    uint8_t own[4] = {172, 31, 255, (uint8_t)number}, gateway[4] = {172, 31, 255, 1};
    raise_link(&batch, 1);
    struct nlmsghdr *header = begin(&batch, RTM_NEWADDR, NLM_F_CREATE);
    struct ifaddrmsg *address = grow(&batch, sizeof *address);
    *address = (struct ifaddrmsg){.ifa_family = 2, .ifa_prefixlen = 24, .ifa_index = (uint32_t)eth0};
    attribute(&batch, IFA_LOCAL, own, 4);
    attribute(&batch, IFA_ADDRESS, own, 4);
    end(&batch, header);
    raise_link(&batch, eth0);
    header = begin(&batch, RTM_NEWROUTE, NLM_F_CREATE);
    struct rtmsg *route = grow(&batch, sizeof *route);
    *route = (struct rtmsg){.rtm_family = 2, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
                            .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST};
    attribute(&batch, RTA_GATEWAY, gateway, 4);
    end(&batch, header);
    exchange(&batch);
}

/* ---- the child ---- */

static void child(const char *lower, const char *scratch, int number, char **hierarchies, const long *cgroups, long go) {
    char path[1024], byte, *words[] = {"true", 0}, *environment[] = {"PATH=/bin", 0};
    /* "0" into tasks: a thread that moves itself takes no lock. A pid, or cgroup.procs, takes one whose first writer
     * waits for an RCU grace period, 20 ms on an idle machine. */
    for (; *cgroups >= 0; cgroups++) put(*cgroups, "tasks", "0");
    MUST(CALL(unshare, CLONE_NEWCGROUP, 0, 0, 0, 0));
    mount(0, "/", 0, REC | PRIVATE, 0);
    JOIN(path, "lowerdir=", lower, ",upperdir=", scratch, "/upper,workdir=", scratch, "/work,volatile");
    mount("overlay", scratch, "overlay", 0, path);
    MUST(CALL(chdir, scratch, 0, 0, 0, 0));
    mount("proc", "proc", "proc", NOSUID | NOEXEC | NODEV, 0);
    make_dev();
    mount("sysfs", "sys", "sysfs", NOSUID | NOEXEC | NODEV | RDONLY, 0);
    mount_cgroups(hierarchies);
    hide();
    /* Everything above needs nothing from the parent; the rest needs the link. */
    if (MUST(CALL(read, go, &byte, 1, 0, 0)) != 1) CALL(exit_group, 125, 0, 0, 0, 0);
    configure(number);
    MUST(CALL(pivot_root, ".", ".", 0, 0, 0));
    MUST(CALL(umount2, ".", DETACH, 0, 0, 0));
    MUST(CALL(chdir, "/", 0, 0, 0, 0));
    MUST(CALL(sethostname, "floor", 5, 0, 0, 0));
    drop_capabilities();
    MUST(CALL(execve, "/bin/true", words, environment, 0, 0));
}

/* ---- the parent ---- */

static void remove_overlay(const char *scratch) {
    static const char *directories[] = {"/work/work/incompat/volatile", "/work/work/incompat", "/work/work", "/work",
                                        "/upper"};
    char path[512];
    MUST(CALL(unlinkat, FDCWD, JOIN(path, scratch, "/work/work/incompat/volatile/dirty"), 0, 0, 0));
    for (size_t at = 0; at < sizeof directories / sizeof *directories; at++)
        MUST(CALL(unlinkat, FDCWD, JOIN(path, scratch, directories[at]), REMOVEDIR, 0, 0));
}

static long run(int count, char **words) {
    if (count < 6 || count > 20) fail(__LINE__, -22);
    const char *lower = words[1], *scratch = words[2];
    char **hierarchies = words + 5, path[512], space[24], name[40];
    int number = 0, pidfd = -1, go[2], status[32] = {0};
    long cgroups[20], made = 0;
    struct clone_args args = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    for (const char *digit = words[4]; *digit; digit++) number = number * 10 + *digit - '0';
    MUST(CALL(mkdirat, FDCWD, JOIN(path, scratch, "/upper"), 0755, 0, 0));
    MUST(CALL(mkdirat, FDCWD, JOIN(path, scratch, "/work"), 0700, 0, 0));
    JOIN(name, "floor", number_text(CALL(getpid, 0, 0, 0, 0, 0), space + sizeof space));
    for (; hierarchies[made]; made++) cgroups[made] = make_cgroup(hierarchies[made], name);
    cgroups[made] = -1;
    if (JOIN(path, hierarchies[0], "/cgroup.controllers"), exists(path)) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroups[0];
        cgroups[0] = -1;
    }
    MUST(CALL(pipe2, go, O_CLOEXEC, 0, 0, 0));
    long pid = MUST(CALL(clone3, &args, sizeof args, 0, 0, 0));
    if (pid == 0) {
        CALL(close, go[1], 0, 0, 0, 0);
        child(lower, scratch, number, hierarchies, cgroups, go[0]);
    }
    make_veth(index_of(words[3]), (int)pid, name);
    MUST(CALL(write, go[1], "", 1, 0, 0));
    MUST(CALL(waitid, P_PIDFD, pidfd, status, WEXITED, 0));
    for (char **hierarchy = hierarchies; *hierarchy; hierarchy++)
        MUST(CALL(unlinkat, FDCWD, JOIN(path, *hierarchy, "/", name), REMOVEDIR, 0, 0));
    remove_overlay(scratch);
    return status[6]; /* si_status: after signo, errno, code, padding, pid and uid */
}
