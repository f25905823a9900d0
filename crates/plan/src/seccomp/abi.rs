//! The machines that sampan runs on, and the system call interfaces that programs on them can use.

use crate::Rejected;
use crate::host::Host;

/// The host's architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    /// # Errors
    /// An architecture that sampan has no syscall tables for.
    pub fn of(host: &Host) -> Result<Self, Rejected> {
        match host.machine.as_str() {
            "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Aarch64),
            other => {
                Err(Rejected::new("cannot filter system calls", format!("sampan has no table of them for {other}"))
                    .hint("--security-opt seccomp=unconfined does without"))
            }
        }
    }

    /// As docker's profiles name it in `includes` and `excludes`.
    pub(super) fn docker_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    pub(super) fn native(self) -> Abi {
        match self {
            Self::X86_64 => Abi::X86_64,
            Self::Aarch64 => Abi::Aarch64,
        }
    }

    /// The ABIs this kernel can serve besides the native one.
    pub(super) fn compat(self) -> &'static [Abi] {
        match self {
            Self::X86_64 => &[Abi::X86, Abi::X32],
            Self::Aarch64 => &[Abi::Arm],
        }
    }
}

/// A system call interface: which numbers there are, and how wide arguments are. The value is the column of the
/// syscall table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64 = 0,
    X86 = 1,
    X32 = 2,
    Aarch64 = 3,
    Arm = 4,
}

/// x32 shares its `AUDIT_ARCH` with x86_64; its numbers have this bit (asm/unistd.h `__X32_SYSCALL_BIT`).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// The `SCMP_ARCH_*` of the runtime-spec that cannot occur on a host of [`Arch`].
const FOREIGN: [&str; 13] = [
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
];

/// Whether the runtime-spec knows this `SCMP_ARCH_*` though no host of ours can run it.
pub(super) fn is_foreign(name: &str) -> bool {
    FOREIGN.contains(&name)
}

impl Abi {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm].into_iter().find(|abi| abi.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// `seccomp_data.arch`: `AUDIT_ARCH_*` of linux/audit.h.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are compared as 64 bits. x32's registers are wide, but libseccomp looks at the low word only
    /// and profiles are written for that.
    pub(super) fn wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }
}
