//! What the tests know of ABIs, told again so as not to trust the code under test.

use super::bpf::Call;
use plan::seccomp::Arch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abi {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

pub const ALL: [Abi; 5] = [Abi::X86_64, Abi::X86, Abi::X32, Abi::Aarch64, Abi::Arm];

impl Abi {
    pub fn native(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self::X86_64,
            Arch::Aarch64 => Self::Aarch64,
        }
    }

    pub fn from_name(name: &str) -> Self {
        ALL.into_iter().find(|abi| abi.name() == name).unwrap()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// `AUDIT_ARCH_*`.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// seccomp.h `SCMP_ARCH_*`.
    pub fn token(self) -> u32 {
        if self == Self::X32 { 0x4000_003e } else { self.audit() }
    }

    pub fn wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }

    /// Whether `call` comes through this ABI. libseccomp takes negative numbers for x32's; runc's stub does not, but
    /// they are no calls either way.
    pub fn serves(self, call: &Call) -> bool {
        let x32 = call.number >= 0x4000_0000;
        call.arch == self.audit()
            && match self {
                Self::X86_64 => !x32,
                Self::X32 => x32,
                _ => true,
            }
    }
}

/// The calls that i386 has both by a number of their own and through socketcall(2) or ipc(2).
pub const I386_DIRECT: [(&str, u32); 27] = [
    ("recvmmsg", 337),
    ("sendmmsg", 345),
    ("socket", 359),
    ("socketpair", 360),
    ("bind", 361),
    ("connect", 362),
    ("listen", 363),
    ("accept4", 364),
    ("getsockopt", 365),
    ("setsockopt", 366),
    ("getsockname", 367),
    ("getpeername", 368),
    ("sendto", 369),
    ("sendmsg", 370),
    ("recvfrom", 371),
    ("recvmsg", 372),
    ("shutdown", 373),
    ("semget", 393),
    ("semctl", 394),
    ("shmget", 395),
    ("shmctl", 396),
    ("shmat", 397),
    ("shmdt", 398),
    ("msgget", 399),
    ("msgsnd", 400),
    ("msgrcv", 401),
    ("msgctl", 402),
];
