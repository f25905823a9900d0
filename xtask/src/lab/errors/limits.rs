//! Limits that cannot be had, and those that bite.

use super::{Case, case};

pub const CASES: &[Case] = &[
    case("less memory than a container needs", 125, "needs at least 6m", "ask for 6m", "fails run -m 1m lab true"),
    case(
        "less swap and memory than memory",
        125,
        "--memory-swap counts memory and swap",
        "8m",
        "fails run -m 8m --memory-swap 7m lab true",
    ),
    case(
        "more reserved than allowed",
        125,
        "--memory is 8m",
        "reserve less",
        "fails run -m 8m --memory-reservation 9m lab true",
    ),
    case("swappiness above 100", 125, "101", "", "fails run --memory-swappiness 101 lab true"),
    case(
        "kernel memory, which no kernel limits any more",
        125,
        "kernel-memory",
        "",
        "fails run --kernel-memory 50m lab true",
    ),
    case("more CPUs than there are", 125, "there are only", "ask for", "fails run --cpus 4096 lab true"),
    case(
        "CPUs that are not there",
        125,
        "this host can give it only",
        "choose from 0",
        "fails run --cpuset-cpus 4095 lab true",
    ),
    case("a list of CPUs that is none", 125, "x-y", "0-3", "fails run --cpuset-cpus x-y lab true"),
    case(
        "memory nodes that are not there",
        125,
        "this host can",
        "choose from",
        "fails run --cpuset-mems 60000 lab true",
    ),
    case("CPU shares out of range", 125, "not from 2 to 262144", "", "fails run --cpu-shares 1 lab true"),
    case("a CPU period out of range", 125, "period", "", "fails run --cpu-period 10 --cpu-quota 5000 lab true"),
    case("--cpus and --cpu-quota", 125, "--cpu-quota", "", "fails run --cpus 1 --cpu-quota 5000 lab true"),
    case(
        "a disk limit on what is no disk",
        125,
        "no block device",
        "lsblk",
        "fails run --device-read-bps /dev/null:1mb lab true",
    ),
    case(
        "a disk limit on what is not there",
        125,
        "no block device",
        "lsblk",
        "fails run --device-write-iops /dev/nosuch:100 lab true",
    ),
    case("an I/O weight out of range", 125, "5000", "", "fails run --blkio-weight 5000 lab true"),
    case(
        "a controller that is not mounted",
        125,
        "no cgroup controller `pids`",
        "",
        r#"
        [ -e /sys/fs/cgroup/pids/tasks ] || skip "the pids controller is not a mount of its own here"
        without docker "its daemon looked before"; umount /sys/fs/cgroup/pids; fails run --pids-limit 5 lab true"#,
    ),
    case(
        "cgroups that are read-only",
        125,
        "is not writable",
        "writable",
        r#"
        without docker "its daemon looked before"
        for mount in $(awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts); do mount -o remount,bind,ro $mount; done
        fails run -m 64m lab true"#,
    ),
    case("an unknown ulimit", 125, "unknown limit", "nofile", "fails run --ulimit nope=1 lab true"),
    case(
        "a soft limit above the hard one",
        125,
        "the soft limit is above",
        "SOFT[:HARD]",
        "fails run --ulimit nofile=5:3 lab true",
    ),
    case(
        "a ulimit above sampan's own",
        125,
        "CAP_SYS_RESOURCE",
        "or less",
        r#"
        ulimit -n 1000; without docker "the daemon's limit counts"
        AS=(setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource); fails run --ulimit nofile=2000 lab true"#,
    ),
    case("an oom-score-adj out of range", 125, "not from -1000 to 1000", "", "fails run --oom-score-adj 1001 lab true"),
    case(
        "a setting of the whole host",
        125,
        "it would be the whole host's",
        "sysctl -w",
        "fails run --sysctl vm.swappiness=7 lab true",
    ),
    case("a setting that is not there", 125, "ENOENT", "sysctl -a", "fails run --sysctl net.nosuch=1 lab true"),
    case(
        "a setting with a value that the kernel refuses",
        125,
        "EINVAL",
        "does not take that value",
        "fails run --sysctl net.ipv4.ip_default_ttl=x lab true",
    ),
    case("a shm-size of nothing", 125, "shm-size", "", "fails run --shm-size 0x lab true"),
    case("out of memory at once", 137, "out of memory", "", "fails run -m 8m --memory-swap 8m lab tail /dev/zero"),
    case(
        "out of memory of a child",
        3,
        "out of memory",
        "",
        r#"
        fails run -m 16m --memory-swap 16m lab sh -c 'head -c 64m /dev/zero | (echo 1000 >/proc/self/oom_score_adj; exec tail >/dev/null); exit 3'"#,
    ),
    case(
        "no more processes in the container",
        2,
        "no more processes: the container was at its limit, which --pids-limit raises",
        "",
        r#"
        fails run --pids-limit 4 lab sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 10 & done; wait'"#,
    ),
    case(
        "no more processes on the host",
        125,
        "EAGAIN",
        "pids.max",
        r#"
        without docker "the daemon's cgroup counts"; own=/sys/fs/cgroup/pids/lab-errors-$$
        [ -e /sys/fs/cgroup/pids/tasks ] || own=/sys/fs/cgroup/lab-errors-$$
        mkdir $own 2>/dev/null && [ -e $own/pids.max ] || skip "no pids controller to limit"
        limited() { (echo 0 >$own/cgroup.procs; echo 2 >$own/pids.max; run "$@"); }
        fails limited lab true; rmdir $own"#,
    ),
    case(
        "no more open files",
        125,
        "EMFILE",
        "ulimit -n",
        r#"
        without docker "the daemon's limit counts"; scarce() { (ulimit -n 12; run "$@"); }; fails scarce lab true"#,
    ),
];
