//! The same profile, compiled here and by runc's way with libseccomp, gives the same verdicts.

use super::abi::{self, Abi};
use super::bpf::{self, Call};
use super::libseccomp::{Libseccomp, Runc, alternatives};
use super::model;
use plan::seccomp::{Arch, compile, default_profile};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use spec::runtime::{Seccomp, SyscallArg, SyscallRule};
use std::cell::{Cell, RefCell};

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

const DOCKER: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

const PRIVILEGED: [&str; 14] = [
    "CAP_BPF",
    "CAP_DAC_READ_SEARCH",
    "CAP_PERFMON",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_SYSLOG",
];

#[test]
fn default_profile_is_as_from_libseccomp() {
    let Some(mut libseccomp) = Libseccomp::start("default") else {
        return;
    };
    println!("libseccomp {}", libseccomp.version());
    for arch in ARCHES {
        for caps in [&[][..], &DOCKER, &PRIVILEGED] {
            let mut profile = default_profile(caps, arch);
            let mut unknown = Vec::new();
            for rule in &mut profile.syscalls {
                rule.names.retain(|name| {
                    libseccomp.knows(name) || {
                        unknown.push(name.clone());
                        false
                    }
                });
            }
            profile.syscalls.retain(|rule| !rule.names.is_empty());
            println!("{arch:?}: left out, because this libseccomp is too old: {}", unknown.join(" "));
            let compared = compare(&mut libseccomp, &profile, arch).unwrap();
            println!("{arch:?}: {compared} calls compared");
        }
    }
}

#[test]
fn every_call_has_libseccomps_number() {
    let Some(mut libseccomp) = Libseccomp::start("numbers") else {
        return;
    };
    for (arch, abis) in [(Arch::X86_64, &abi::ALL[..3]), (Arch::Aarch64, &abi::ALL[3..])] {
        let architectures: Vec<String> = abis.iter().map(|abi| abi.name().to_owned()).collect();
        for abi in abis {
            let x32 = if *abi == Abi::X32 { 0x4000_0000 } else { 0 };
            for number in (0..600).chain(983_040..983_050).map(|number| number | x32) {
                let Some(name) = libseccomp.name(*abi, number) else {
                    continue;
                };
                let rule =
                    SyscallRule { names: vec![name.clone()], action: "SCMP_ACT_LOG".into(), ..SyscallRule::default() };
                let profile = Seccomp {
                    default_action: "SCMP_ACT_ALLOW".into(),
                    architectures: architectures.clone(),
                    syscalls: vec![rule],
                    ..Seccomp::default()
                };
                let program = compile(&profile, arch).unwrap();
                let call = Call { number, arch: abi.audit(), ..Call::default() };
                assert_eq!(bpf::run(&program.instructions, &call), 0x7ffc_0000, "{name} {number} {abi:?}");
            }
        }
    }
}

#[test]
fn random_profiles_mean_what_the_model_says() {
    check(50, |profile, arch| {
        let program = compile(profile, arch).unwrap().instructions;
        for call in calls(profile) {
            let (ours, model) = (bpf::run(&program, &call), model::verdict(profile, Abi::native(arch), &call));
            prop_assert_eq!(ours, model, "here {:#x}, model {:#x}: {:x?}", ours, model, call);
        }
        Ok(())
    });
}

#[test]
fn random_profiles_are_as_from_libseccomp() {
    let Some(libseccomp) = Libseccomp::start("random") else {
        return;
    };
    let libseccomp = RefCell::new(libseccomp);
    let compared = Cell::new(0);
    check(100, |profile, arch| {
        let profile = simple(profile);
        compared.set(compared.get() + compare(&mut libseccomp.borrow_mut(), &profile, arch).unwrap_or(0));
        Ok(())
    });
    println!("{} calls compared", compared.get());
}

fn check(cases: u32, test: impl Fn(&Seccomp, Arch) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(profile(), prop::sample::select(&ARCHES[..])), |(mut profile, arch)| {
        let machine = if arch == Arch::X86_64 { &abi::ALL[..3] } else { &abi::ALL[3..] };
        profile.architectures.retain(|name| machine.contains(&Abi::from_name(name)));
        test(&profile, arch)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// How many calls were compared; `None` if libseccomp refuses the profile.
fn compare(libseccomp: &mut Libseccomp, profile: &Seccomp, arch: Arch) -> Option<usize> {
    let ours = compile(profile, arch).unwrap().instructions;
    let theirs = Runc::new(libseccomp, profile, Abi::native(arch))?;
    let calls = calls(profile);
    for call in &calls {
        let (ours, theirs) = (bpf::run(&ours, call), theirs.verdict(call));
        assert_eq!(ours, theirs, "here {ours:#x}, libseccomp {theirs:#x}: {call:x?}");
    }
    Some(calls.len())
}

/// Every number on every ABI and some others; where a number may have conditions, with arguments around those that the
/// profile names.
fn calls(profile: &Seccomp) -> Vec<Call> {
    let edges = [983_039, 0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, 0xffff_fffe, 0xffff_ffff];
    let conditional =
        [92, 102, 117, 135, 136].into_iter().chain(model::POOL.iter().flat_map(|(_, numbers, _)| *numbers));
    let conditional: Vec<u32> = conditional.collect();
    let x32 = (0..600).map(|number| number | 0x4000_0000);
    let numbers: Vec<u32> = (0..600).chain(x32).chain(983_040..983_050).chain(edges).collect();
    let audits = abi::ALL.iter().map(|abi| abi.audit()).chain([0, 0xffff_ffff, 0x8000_0016]);
    let tuples = arguments(profile);
    let mut calls = Vec::new();
    for arch in audits {
        for number in &numbers {
            let tested = conditional.contains(&(number & !0x4000_0000));
            let tuples = if tested { &tuples[..] } else { &tuples[..1] };
            calls.extend(tuples.iter().map(|args| Call { number: *number, arch, args: *args }));
        }
    }
    calls
}

fn arguments(profile: &Seccomp) -> Vec<[u64; 6]> {
    let conditions: Vec<&SyscallArg> = profile.syscalls.iter().flat_map(|rule| &rule.args).collect();
    let mut interesting = vec![0, u64::MAX];
    for condition in &conditions {
        for value in [condition.value, condition.value_two] {
            let near = [value, value.wrapping_sub(1), value.wrapping_add(1), value ^ (1 << 32), !value];
            interesting.extend(near);
        }
    }
    interesting.sort_unstable();
    interesting.dedup();
    let mut used: Vec<usize> = conditions.iter().map(|condition| condition.index as usize).collect();
    used.push(0);
    used.sort_unstable();
    used.dedup();
    let mut tuples = vec![[0; 6]];
    for value in &interesting {
        tuples.push([*value; 6]);
        // i386's multiplexers look at the first argument.
        tuples.extend((1..25).map(|first| [first, *value, *value, *value, *value, *value]).filter(|_| *value < 2));
        for index in &used {
            let mut tuple = [0; 6];
            tuple[*index] = *value;
            tuples.push(tuple);
        }
    }
    tuples
}

fn profile() -> impl Strategy<Value = Seccomp> {
    let action = prop::sample::select(&["ERRNO", "KILL", "KILL_PROCESS", "TRAP", "LOG", "TRACE", "ALLOW"][..])
        .prop_map(|name| format!("SCMP_ACT_{name}"));
    let architectures = prop::sample::subsequence(&abi::ALL[..], 0..=5);
    let rules = prop::collection::vec(rule(action.clone()), 0..12);
    (action, architectures, rules).prop_map(|(default_action, abis, syscalls)| Seccomp {
        default_action,
        architectures: abis.iter().map(|abi| abi.name().to_owned()).collect(),
        syscalls,
        ..Seccomp::default()
    })
}

fn rule(action: impl Strategy<Value = String>) -> impl Strategy<Value = SyscallRule> {
    let names: Vec<&str> = model::POOL.iter().map(|(name, ..)| *name).collect();
    let names = prop::sample::subsequence(names, 1..4);
    (names, action, prop::collection::vec(condition(), 0..4)).prop_map(|(names, action, args)| SyscallRule {
        names: names.into_iter().map(str::to_owned).collect(),
        action,
        errno_ret: None,
        args,
    })
}

fn condition() -> impl Strategy<Value = SyscallArg> {
    let op = prop::sample::select(&["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"][..]);
    let value = prop::sample::select(vec![
        0,
        1,
        2,
        5,
        0x7e02_0000,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0000_0005,
        0x5_0000_0001,
        u64::MAX - 1,
        u64::MAX,
    ]);
    (0..3_u32, op, value.clone(), value).prop_map(|(index, op, value, value_two)| SyscallArg {
        index,
        op: format!("SCMP_CMP_{op}"),
        value,
        value_two,
    })
}

/// What is left of a profile where libseccomp 2.5 gives the right answer. Going back from one rule to the next, it
/// compares the wrong word of an argument, or takes one that is less than both bounds for neither; it may also not come
/// to an end. So for one number there is one rule, or several that test the low word of the first argument for equality, and
/// all have one action.
fn simple(profile: &Seccomp) -> Seccomp {
    let mut simple: Vec<SyscallRule> = Vec::new();
    for rule in &profile.syscalls {
        for name in &rule.names {
            let alike = |other: &&SyscallRule| on_i386(&other.names[0]) == on_i386(name);
            let mut rule = SyscallRule { names: vec![name.clone()], ..rule.clone() };
            match simple.iter().find(alike) {
                None => rule.args.truncate(if alternatives(&rule.args).len() > 1 { 1 } else { 6 }),
                Some(first) => match first.args.as_slice() {
                    [only] if only.op == "SCMP_CMP_EQ" && only.index == 0 && only.value <= 0xffff_ffff => {
                        rule.action = first.action.clone();
                        rule.args.retain(|arg| arg.op == "SCMP_CMP_EQ" && arg.index == only.index);
                        rule.args.iter_mut().for_each(|arg| arg.value &= 0xffff_ffff);
                    }
                    _ => continue,
                },
            }
            simple.push(rule);
        }
    }
    Seccomp { syscalls: simple, ..profile.clone() }
}

fn on_i386(name: &str) -> &str {
    let multiplexed = model::POOL.iter().find(|(known, ..)| *known == name).and_then(|(.., multiplexed)| *multiplexed);
    multiplexed.map_or(name, |(number, _)| if number == 102 { "socketcall" } else { "ipc" })
}
