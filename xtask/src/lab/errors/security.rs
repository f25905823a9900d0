//! What security forbids, and profiles that say nothing.

use super::{Case, case};

pub const CASES: &[Case] = &[
    case(
        "a seccomp profile that is no JSON",
        125,
        "line 1",
        "JSON",
        "fails run --security-opt seccomp=/etc/passwd lab true",
    ),
    case(
        "a seccomp profile that is not there",
        125,
        "ENOENT",
        "",
        "fails run --security-opt seccomp=/no/such lab true",
    ),
    case(
        "a seccomp profile with an unknown action",
        125,
        "SCMP_ACT_NOPE",
        "SCMP_ACT_",
        r#"
        echo '{"defaultAction":"SCMP_ACT_NOPE"}' >profile; fails run --security-opt seccomp=profile lab true"#,
    ),
    case(
        "a seccomp profile with a mistyped key",
        125,
        "defaultAct",
        "",
        r#"
        echo '{"defaultAct":"SCMP_ACT_ALLOW"}' >profile; fails run --security-opt seccomp=profile lab true"#,
    ),
    case(
        "a profile that kills what the start needs",
        125,
        "killed by SIGSYS",
        "the seccomp profile",
        r#"
        echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["setresuid"],"action":"SCMP_ACT_KILL_PROCESS"}]}' >profile
        fails run --security-opt seccomp=profile lab true"#,
    ),
    case(
        "a program killed by seccomp",
        159,
        "a seccomp filter forbids a system call that it made (--security-opt seccomp=",
        "",
        r#"
        echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["uname"],"action":"SCMP_ACT_KILL_PROCESS"}]}' >profile
        fails run --security-opt seccomp=profile lab uname"#,
    ),
    case("a call that the default profile forbids", 1, "Operation not permitted", "", "fails run lab unshare -m true"),
    case("a capability that the container has not", 1, "Operation not permitted", "", "fails run lab hostname other"),
    case("an unknown capability", 125, "unknown capability", "capabilities(7)", "fails run --cap-add NOPE lab true"),
    case(
        "a capability that sampan has not itself",
        125,
        "sampan does not have it itself",
        "CapEff",
        r#"
        without docker "the daemon has it"; AS=(setpriv --bounding-set=-sys_boot --inh-caps=-sys_boot); fails run --cap-add SYS_BOOT lab true"#,
    ),
    case(
        "an AppArmor profile that is not there",
        125,
        "AppArmor",
        "",
        "fails run --security-opt apparmor=nosuch lab true",
    ),
    case(
        "an SELinux label without SELinux",
        0,
        "SELinux is off here",
        "",
        "fails run --security-opt label=type:nosuch_t lab true",
    ),
    case("an unknown security option", 125, "nosuch", "seccomp", "fails run --security-opt nosuch=1 lab true"),
    case("a device that is not there", 125, "ENOENT", "", "fails run --device /dev/nosuch lab true"),
    case("a device that is none", 125, "it is no device", "--volume", "fails run --device /etc/passwd lab true"),
    case(
        "a device of a vendor that is not there",
        125,
        "nvidia.com/gpu",
        "nvidia-ctk",
        "fails run --device nvidia.com/gpu=all lab true",
    ),
    case(
        "a device rule that is none",
        125,
        "x 1:2",
        "TYPE MAJOR:MINOR",
        "fails run --device-cgroup-rule 'x 1:2 rwm' lab true",
    ),
    case(
        "a user namespace of another kind",
        125,
        "another kind of namespace",
        "/ns/ipc",
        "fails run --ipc ns:/proc/self/ns/uts lab true",
    ),
    case(
        "a device that nobody may open",
        1,
        "Operation not permitted",
        "",
        r#"
        mknod node c 10 229; chmod 666 node; fails run -v $DIR/node:/tmp/node lab sh -c ': </tmp/node'"#,
    ),
];
