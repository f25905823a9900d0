//! What the tests need from the machine beside Rust: installed where that can be done, named where not.

use crate::command;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

/// A program that tests call, and the package that has it.
pub struct Need {
    program: &'static str,
    debian: &'static str,
    fedora: &'static str,
    /// The package has a service, which a running systemd would start at each boot from then on.
    service: bool,
}

const fn need(program: &'static str, debian: &'static str, fedora: &'static str) -> Need {
    Need { program, debian, fedora, service: false }
}

const fn service(program: &'static str, debian: &'static str, fedora: &'static str) -> Need {
    Need { program, debian, fedora, service: true }
}

/// The tests look for each of these themselves and say `skipped:` where one is not there.
pub const TESTS: [Need; 25] = [
    need("busybox", "busybox-static", "busybox"),
    need("nft", "nftables", "nftables"),
    need("ip", "iproute2", "iproute"),
    need("newuidmap", "uidmap", "shadow-utils"),
    need("pasta", "passt", "passt"),
    need("unshare", "util-linux", "util-linux"),
    need("script", "bsdutils", "util-linux-script"),
    need("criu", "criu", "criu"),
    need("setfattr", "attr", "attr"),
    need("mkfs.ext4", "e2fsprogs", "e2fsprogs"),
    need("nm", "binutils", "binutils"),
    need("git", "git", "git"),
    // For a machine whose power is cut.
    need("qemu-system-x86_64", "qemu-system-x86", "qemu-system-x86-core"),
    need("cc", "gcc", "gcc"),
    // Fedora has the registry under another name, and no umoci.
    service("docker-registry", "docker-registry", "docker-distribution"),
    need("skopeo", "skopeo", "skopeo"),
    need("umoci", "umoci", "umoci"),
    need("openssl", "openssl", "openssl"),
    need("pip3", "python3-pip", "python3-pip"),
    need("podman", "podman", "podman"),
    need("buildah", "buildah", "buildah"),
    service("containerd", "containerd", "containerd"),
    // For pods: the calls, and the networks; Fedora has those in another place, where dnf finds them installed.
    need("curl", "curl", "curl"),
    need("/usr/lib/cni/bridge", "containernetworking-plugins", "containernetworking-plugins"),
    service("dockerd", "docker.io", "moby-engine"),
];

/// For the programs of others that are built first.
pub const GO: [Need; 1] = [need("go", "golang-go", "golang")];

enum Family {
    Debian,
    Fedora,
    Unknown,
}

/// Installs what is missing as root on Debian, Ubuntu and Fedora; else prints the command that would. Never fails: a
/// test that lacks a program is skipped and counted.
pub fn provide(needs: &[Need]) {
    let mut missing: Vec<&Need> = needs.iter().filter(|need| command::find(need.program).is_none()).collect();
    if Path::new("/run/systemd/system").exists() {
        let services: Vec<&str> = missing.extract_if(.., |need| need.service).map(|need| need.program).collect();
        if !services.is_empty() {
            println!("missing: {}: not installed, as systemd would start them with the machine", services.join(", "));
        }
    }
    if missing.is_empty() {
        return;
    }
    let family = family();
    let names = |pick: fn(&Need) -> &'static str| {
        let mut names: Vec<&str> = missing.iter().map(|need| pick(need)).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let (tool, packages) = match family {
        Family::Debian => ("apt-get", names(|need| need.debian)),
        Family::Fedora => ("dnf", names(|need| need.fedora)),
        Family::Unknown => {
            let programs: Vec<&str> = missing.iter().map(|need| need.program).collect();
            println!("missing: {}: install them with this system's package tool", programs.join(", "));
            return;
        }
    };
    if !command::is_root() {
        println!("missing: as root, run: {tool} install -y {}", packages.join(" "));
        return;
    }
    without_daemons(|| install(&family, tool, &packages));
}

/// Nothing that is installed is started: invoke-rc.d(8) asks this program. That of the machine stays; ours forbids
/// nothing once we are gone, however we went.
fn without_daemons(install: impl FnOnce()) {
    let path = Path::new("/usr/sbin/policy-rc.d");
    let text =
        format!("#!/bin/sh\n# of cargo xtask test\nkill -0 {} 2>/dev/null && exit 101\nexit 0\n", std::process::id());
    let file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(path);
    let ours = file.and_then(|mut file| file.write_all(text.as_bytes())).is_ok();
    install();
    if ours && let Err(error) = std::fs::remove_file(path) {
        println!("warning: cannot remove {}: {error}", path.display());
    }
}

/// All at once, and where that fails one by one, so that one package that this release lacks does not cost the rest.
fn install(family: &Family, tool: &str, packages: &[&str]) {
    let apt = |words: &[&str]| {
        let mut command = Command::new(tool);
        command.env("DEBIAN_FRONTEND", "noninteractive").args(words);
        command::succeed(&mut command)
    };
    let mut words = vec!["install", "-y", "-q"];
    if matches!(family, Family::Debian) {
        words.push("--no-install-recommends");
        if let Err(text) = apt(&["update", "-q"]) {
            println!("warning: {text}");
        }
    }
    let some = words.len();
    words.extend(packages);
    if apt(&words).is_ok() {
        return;
    }
    for package in packages {
        words.truncate(some);
        words.push(package);
        if let Err(text) = apt(&words) {
            println!("missing: {package}: {text}");
        }
    }
}

fn family() -> Family {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.trim_matches('"').to_owned()
    };
    let names = format!("{} {}", value("ID="), value("ID_LIKE="));
    match names.split_whitespace().find(|name| ["debian", "ubuntu", "fedora", "rhel"].contains(name)) {
        Some("debian" | "ubuntu") => Family::Debian,
        Some(_) => Family::Fedora,
        None => Family::Unknown,
    }
}
