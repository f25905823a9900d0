//! What profiles are taken, and what the built-in one lets through.

use super::abi::Abi;
use super::bpf::{self, Call};
use super::model;
use plan::seccomp::{Arch, compile, default_profile, parse};
use spec::runtime::{Seccomp, SyscallArg, SyscallRule};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const NONE: &[&str] = &[];

fn on_x86_64(profile: &Seccomp, number: u32, args: &[u64]) -> u32 {
    let mut call = Call { number, arch: Abi::X86_64.audit(), ..Call::default() };
    call.args[..args.len()].copy_from_slice(args);
    bpf::run(&compile(profile, Arch::X86_64).unwrap().instructions, &call)
}

#[test]
fn the_default_refuses_what_docker_refuses() {
    let plain = default_profile(NONE, Arch::X86_64);
    let admin = default_profile(&["CAP_SYS_ADMIN"], Arch::X86_64);
    for (call, number, args, without, with) in [
        ("read", 0, &[][..], ALLOW, ALLOW),
        ("ptrace", 101, &[], ALLOW, ALLOW),
        ("mount", 165, &[], EPERM, ALLOW),
        ("init_module", 175, &[], EPERM, EPERM),
        ("clone without namespaces", 56, &[0x3d_0f00], ALLOW, ALLOW),
        ("clone(CLONE_NEWUSER)", 56, &[0x1000_0000], EPERM, ALLOW),
        ("clone3", 435, &[], ENOSYS, ALLOW),
        ("unshare", 272, &[], EPERM, ALLOW),
        ("io_uring_setup", 425, &[], EPERM, EPERM),
        ("keyctl", 250, &[], EPERM, EPERM),
        ("userfaultfd", 323, &[], EPERM, EPERM),
        ("socket(AF_INET6)", 41, &[10], ALLOW, ALLOW),
        ("socket(AF_PACKET)", 41, &[17], ALLOW, ALLOW),
        ("socket(AF_ALG)", 41, &[38], EPERM, EPERM),
        ("socket(AF_VSOCK)", 41, &[40], EPERM, EPERM),
        ("personality(PER_LINUX)", 135, &[0], ALLOW, ALLOW),
        ("personality(ADDR_NO_RANDOMIZE)", 135, &[0x4_0000], EPERM, EPERM),
        ("removexattrat", 466, &[], ALLOW, ALLOW),
        ("a call of a later kernel", 600, &[], ENOSYS, ENOSYS),
    ] {
        assert_eq!(on_x86_64(&plain, number, args), without, "{call}");
        assert_eq!(on_x86_64(&admin, number, args), with, "{call} with CAP_SYS_ADMIN");
    }
}

fn rule(name: &str, action: &str, args: Vec<SyscallArg>) -> SyscallRule {
    SyscallRule { names: vec![name.into()], action: action.into(), errno_ret: None, args }
}

fn condition(index: u32, op: &str, value: u64, value_two: u64) -> SyscallArg {
    SyscallArg { index, value, value_two, op: op.into() }
}

fn with_rules(syscalls: Vec<SyscallRule>) -> Seccomp {
    Seccomp { default_action: "SCMP_ACT_ERRNO".into(), syscalls, ..Seccomp::default() }
}

/// One condition a rule, none of which can be joined with another.
fn long(rules: u64) -> Seccomp {
    let one = |n: u64| condition((n % 2) as u32, "SCMP_CMP_MASKED_EQ", n << 8 | 0xf000_0000_0000, n << 8);
    with_rules((1..=rules).map(|n| rule("read", "SCMP_ACT_ALLOW", vec![one(n)])).collect())
}

#[test]
fn long_jumps_arrive() {
    let profile = long(300);
    let program = compile(&profile, Arch::X86_64).unwrap().instructions;
    assert!(program.len() > 1000);
    for n in 0..400 {
        for args in [[n << 8, 0, 0, 0, 0, 0], [0, n << 8, 0, 0, 0, 0], [0x1000_0000_0000, n << 8, 0, 0, 0, 0]] {
            let call = Call { number: 0, arch: Abi::X86_64.audit(), args };
            assert_eq!(bpf::run(&program, &call), model::verdict(&profile, Abi::X86_64, &call), "{call:x?}");
        }
    }
}

#[test]
fn what_cannot_be_enforced_is_rejected() {
    let read = |action: &str| with_rules(vec![rule("read", action, Vec::new())]);
    let tested = |condition| with_rules(vec![rule("read", "SCMP_ACT_ALLOW", vec![condition])]);
    for (profile, why) in [
        (Seccomp::default(), "there is no action \"\""),
        (read("ALLOW"), "there is no action \"ALLOW\""),
        (Seccomp { default_errno_ret: Some(4096), ..read("SCMP_ACT_ALLOW") }, "errno 4096 is larger than 4095"),
        (
            Seccomp { default_action: "SCMP_ACT_KILL".into(), default_errno_ret: Some(1), ..Seccomp::default() },
            "SCMP_ACT_KILL takes no errno",
        ),
        (with_rules(vec![SyscallRule { names: vec![], ..rule("", "SCMP_ACT_ALLOW", vec![]) }]), "names no system call"),
        (tested(condition(6, "SCMP_CMP_EQ", 0, 0)), "no argument 6"),
        (tested(condition(0, "==", 0, 0)), "there is no comparison \"==\""),
        (Seccomp { architectures: vec!["x86".into()], ..read("SCMP_ACT_ALLOW") }, "there is no architecture \"x86\""),
        (Seccomp { flags: vec!["FAST".into()], ..read("SCMP_ACT_ALLOW") }, "there is no flag \"FAST\""),
        (Seccomp { default_action: "SCMP_ACT_NOTIFY".into(), ..Seccomp::default() }, "is no default action"),
        (read("SCMP_ACT_NOTIFY"), "needs a listenerPath"),
        (with_rules(vec![rule("write", "SCMP_ACT_NOTIFY", vec![])]), "for the write syscall"),
        (Seccomp { listener_metadata: "x".into(), ..read("SCMP_ACT_ALLOW") }, "no listenerPath"),
        (long(2000), "the kernel allows 4096"),
    ] {
        let rejected = compile(&profile, Arch::X86_64).unwrap_err();
        assert!(rejected.why.contains(why), "{rejected}");
        assert_eq!(rejected.what, "cannot enforce the seccomp profile");
    }
}

#[test]
fn flags_are_the_kernels() {
    let flags = |names: &[&str], action: &str| {
        let profile = Seccomp {
            flags: names.iter().map(|name| format!("SECCOMP_FILTER_FLAG_{name}")).collect(),
            listener_path: "/run/listener".into(),
            ..with_rules(vec![rule("read", action, Vec::new())])
        };
        compile(&profile, Arch::X86_64).unwrap()
    };
    assert_eq!(flags(&[], "SCMP_ACT_ALLOW").flags, 0);
    assert_eq!(flags(&["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"], "SCMP_ACT_ALLOW").flags, 0b110);
    assert_eq!(flags(&["WAIT_KILLABLE_RECV"], "SCMP_ACT_NOTIFY").flags, 0b10_1000);
    assert!(flags(&[], "SCMP_ACT_NOTIFY").notifies());
}

#[test]
fn other_machines_architectures_do_no_harm() {
    let names = ["SCMP_ARCH_S390X", "SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64"];
    let listed = Seccomp {
        architectures: names.map(str::to_owned).to_vec(),
        ..with_rules(vec![rule("read", "SCMP_ACT_ALLOW", Vec::new())])
    };
    let plain = Seccomp { architectures: Vec::new(), ..listed.clone() };
    assert_eq!(compile(&listed, Arch::X86_64), compile(&plain, Arch::X86_64));
}

const MOBY: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [
        { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
        { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null }
    ],
    "syscalls": [
        { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": {} },
        { "name": "write", "action": "SCMP_ACT_ALLOW" },
        { "names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["arm64"] } },
        { "names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_A", "CAP_B"] } },
        { "names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "6.10" } },
        { "names": ["d"], "action": "SCMP_ACT_ALLOW", "excludes": { "arches": ["arm64"] } },
        { "names": ["e"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["CAP_A", "CAP_B"] } },
        { "names": ["f"], "action": "SCMP_ACT_ALLOW", "excludes": { "minKernel": "6.10" } }
    ]
}"#;

#[test]
fn mobys_form_is_for_this_container() {
    let names = |caps: &[&str], arch, kernel| {
        let profile = parse(MOBY, caps, arch, kernel).unwrap().unwrap();
        profile.syscalls.iter().flat_map(|rule| rule.names.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&[], Arch::X86_64, (6, 9)), "read write d e f");
    assert_eq!(names(&[], Arch::Aarch64, (6, 10)), "read write a c e");
    assert_eq!(names(&["CAP_A"], Arch::X86_64, (6, 9)), "read write d f");
    assert_eq!(names(&["CAP_A", "CAP_B"], Arch::X86_64, (7, 0)), "read write b c d");
    let architectures = |arch| parse(MOBY, NONE, arch, (6, 9)).unwrap().unwrap().architectures;
    assert_eq!(architectures(Arch::X86_64), ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    assert_eq!(architectures(Arch::Aarch64), ["SCMP_ARCH_AARCH64"]);
}

#[test]
fn the_specs_form_is_taken_as_it_is() {
    let profile = default_profile(&["CAP_BPF"], Arch::X86_64);
    let json = serde_json::to_string(&profile).unwrap();
    assert_eq!(parse(&json, NONE, Arch::X86_64, (6, 1)), Ok(Some(profile)));
}

#[test]
fn a_file_that_contradicts_itself_is_rejected() {
    assert_eq!(parse("{}", NONE, Arch::X86_64, (6, 1)), Ok(None));
    for (json, why) in [
        ("", "EOF"),
        (r#"{"defaultaction":"SCMP_ACT_ERRNO"}"#, "it has no `defaultAction`"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"x"}],"syscalls":[{"action":"a"}]}"#,
            "both",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"a"}]}"#,
            "both name and names",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["b"],"action":"a","includes":{"minKernel":"6"}}]}"#,
            "\"6\" is no kernel version",
        ),
    ] {
        let rejected = parse(json, NONE, Arch::X86_64, (6, 1)).unwrap_err();
        assert!(rejected.why.contains(why), "{rejected}");
        assert_eq!(rejected.what, "cannot read the seccomp profile");
    }
}
