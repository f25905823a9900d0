//! What an ordinary user may not.

use super::{Case, case};

pub const CASES: &[Case] = &[
    case(
        "no subordinate ids for an image's files",
        125,
        "subordinate",
        "/etc/subuid",
        r#"
        user; printf '' | cover /etc/subuid; fails run --user 7 --rootfs $ROOTFS true"#,
    ),
    case(
        "no newuidmap",
        125,
        "without subordinate ids",
        "install uidmap",
        r#"
        user; mkdir bin; for program in $(compgen -c | sort -u); do path=$(type -P $program) || continue
        case $program in new?idmap) ;; *) ln -sf $path bin/ 2>/dev/null || true ;; esac; done; PATH=$DIR/bin
        fails run --user 7 --rootfs $ROOTFS true"#,
    ),
    case(
        "user namespaces forbidden",
        125,
        "user namespaces are forbidden",
        "max_user_namespaces",
        r#"
        need newuidmap; user; printf 'root:0:100000\n' >>$OUT/cover.subuid; printf 'root:0:100000\n' >>$OUT/cover.subgid
        AS=(unshare --user --map-users=0,0,100000 --map-groups=0,0,100000 --setuid 0 --setgid 0
            sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --reuid=4321 --regid=4321 --clear-groups "$@"' sh)
        fails run --rootfs $ROOTFS true"#,
    ),
    case("a limit without delegation", 125, "cannot limit memory", "", "user; fails run -m 64m --rootfs $ROOTFS true"),
    case(
        "a privileged port",
        125,
        "cannot publish",
        "ip_unprivileged_port_start",
        r#"
        user; need pasta; [ $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start) -gt 80 ] || echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start
        fails engine run --rm -p 80:80 --rootfs $ROOTFS true"#,
    ),
    case(
        "no pasta",
        125,
        "pasta",
        "install passt",
        r#"
        user; mkdir bin; for program in cat cut sed sort ls tr grep find diff cmp sleep nft setpriv sh unshare newuidmap newgidmap rm; do ln -s $(type -P $program) bin/; done; PATH=$DIR/bin
        fails engine run --rm -p 8080:80 --rootfs $ROOTFS true"#,
    ),
    case(
        "no /dev/net/tun",
        125,
        "/dev/net/tun",
        "modprobe tun",
        "user; rm /dev/net/tun; need pasta; fails engine run --rm --network pasta --rootfs $ROOTFS true",
    ),
    case(
        "a data directory of root's",
        125,
        "EACCES",
        "--root",
        "user; mkdir -m 700 closed; chown 0 closed; DATA=$DIR/closed/data; fails run --rootfs $ROOTFS true",
    ),
    case(
        "a state directory of root's",
        125,
        "EACCES",
        "--state",
        "user; mkdir -m 700 closed; chown 0 closed; STATE=$DIR/closed/state; fails run --rootfs $ROOTFS true",
    ),
    case(
        "a ulimit above the user's own",
        125,
        "CAP_SYS_RESOURCE",
        "or less",
        "user; fails run --ulimit nofile=99999999 --rootfs $ROOTFS true",
    ),
    case(
        "no way out of the host",
        125,
        "pasta: ",
        "a way out",
        r#"user; need pasta; fails engine run --rm --network pasta --rootfs $ROOTFS true"#,
    ),
    case("a network to be made", 1, "an ordinary user", "as root", "user; fails engine network create one"),
    case(
        "a volume that cannot be read",
        125,
        "EACCES",
        "",
        "user; mkdir -m 700 closed; chown 0 closed; mkdir closed/in; fails run -v $DIR/closed/in:/mnt --rootfs $ROOTFS true",
    ),
    case("a device node to be made", 125, "", "", "user; fails run --device /dev/nosuch --rootfs $ROOTFS true"),
    case(
        "a namespace of root's",
        125,
        "EACCES",
        "run as root",
        "user; fails run --pid ns:/proc/1/ns/pid --rootfs $ROOTFS true",
    ),
    case(
        "too many processes of the user",
        125,
        "EAGAIN",
        "ulimit -u",
        "user; scarce() { (ulimit -u 1; run \"$@\"); }; fails scarce --rootfs $ROOTFS true",
    ),
    case(
        "a setting with a value that the kernel refuses",
        125,
        "EINVAL",
        "does not take that value",
        "user; fails run --sysctl kernel.shmmax=1x --rootfs $ROOTFS true",
    ),
];
