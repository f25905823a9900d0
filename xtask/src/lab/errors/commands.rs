//! Commands that cannot be executed: 126 and 127.

use super::{Case, case};

pub const CASES: &[Case] = &[
    case("a command that is not there", 127, "executable file not found in $PATH", "spelling", "fails run lab nosuch"),
    case("a path that is not there", 127, "no such file or directory", "spelling", "fails run lab /opt/nosuch"),
    case("a directory as a command", 126, "is a directory", "name a program in it", "fails run lab /bin"),
    case("a script without the x bit", 126, "permission denied", "chmod +x", "fails run lab /bin/plain"),
    case(
        "a script for an interpreter that is not there",
        127,
        "/usr/bin/python3 is not in",
        "into the image",
        "fails run lab script.py",
    ),
    case("a script for env and an interpreter that is not there", 127, "python3", "", "fails run lab env.py"),
    case("a script with CR LF", 127, "first line ends in CR LF", "sed -i", "fails run lab dos"),
    case("a script without #!", 126, "exec format error", "#!/bin/sh", "fails run lab text"),
    case("an empty file", 126, "the file is empty", "#!/bin/sh", "fails run lab empty"),
    case("a program of another architecture", 126, "it is for arm64", "use an image for", "fails run lab foreign"),
    case(
        "a dynamic program without its loader",
        127,
        "its dynamic loader /lib",
        "link it statically",
        r#"
        [ -e $LAB/rootfs/bin/dynamic ] || skip "no dynamic program to take"
        fails run lab dynamic"#,
    ),
    case("a link to nowhere", 127, "/opt/app/bin/app", "into the image", "fails run lab dangling"),
    case(
        "a program that the user may not execute",
        126,
        "permission denied",
        "chmod",
        "fails run --user 1000 lab private",
    ),
    case(
        "a program on a noexec mount",
        126,
        "EACCES",
        "without noexec",
        r#"
        mkdir apps; cp $(command -v busybox) apps/; mount --bind apps apps; mount -o remount,bind,noexec apps
        fails run -v $DIR/apps:/opt/apps lab /opt/apps/busybox true"#,
    ),
    case("a builtin of the shell", 127, "executable file not found", "sh -c", "fails run lab cd /tmp"),
    case(
        "a whole command line as one word",
        127,
        "executable file not found",
        "sh -c",
        "fails run lab 'echo hello world'",
    ),
    case("flags behind the image", 127, "executable file not found", "before the image", "fails run lab --rm sh"),
    case("an image without a command", 125, "no command", "name one", "fails run lab"),
    case(
        "too large an argument",
        126,
        "E2BIG",
        "128 KiB",
        r#"
        head -c 200000 /dev/zero | tr '\0' x >word; printf 'BIG=' | cat - word >environment
        fails run --env-file environment lab true"#,
    ),
    case("a terminal where there is none", 125, "not a TTY", "leave out -t", "fails run -it lab sh"),
    case(
        "a user that is not there",
        125,
        "no matching entries in passwd",
        "/etc/passwd",
        "fails run --user nobody-here lab true",
    ),
    case(
        "a group that is not there",
        125,
        "no matching entries in group",
        "/etc/group",
        "fails run --user 0:nobody-here lab true",
    ),
    case(
        "a working directory that is a file",
        125,
        "it is no directory",
        "--workdir",
        "fails run --workdir /bin/busybox lab true",
    ),
];
