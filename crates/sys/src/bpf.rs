//! bpf(2): a program that decides about the devices of a cgroup.
//!
//! Invariant: the program lives as long as the cgroup that it is attached to; nothing is pinned.
//! Must not: know what a program means.

use crate::{Error, Result};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// Others' programs above and below keep their say: all must allow.
const F_ALLOW_MULTI: u32 = 2;
const LICENSE: &CStr = c"Apache-2.0";

/// `struct bpf_insn`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Insn {
    code: u8,
    registers: u8,
    off: i16,
    imm: i32,
}

impl Insn {
    /// Registers are 0 to 10.
    #[must_use]
    pub fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        // Two bit-fields of four bits, whose order follows that of bytes.
        let registers = if cfg!(target_endian = "little") { src << 4 | dst & 15 } else { dst << 4 | src & 15 };
        Self { code, registers, off, imm }
    }
}

/// The members of `union bpf_attr` for `BPF_PROG_LOAD`, as far as this uses them; the kernel takes the rest as zero.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
struct Attach {
    target_fd: RawFd,
    attach_bpf_fd: RawFd,
    attach_type: u32,
    attach_flags: u32,
}

/// Loads a device program and attaches it to a v2 cgroup.
///
/// # Errors
/// bpf(2): `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN` (or `CAP_SYS_ADMIN`), `EINVAL` for a program that the verifier
/// rejects or a kernel without `CONFIG_CGROUP_BPF`.
pub fn attach_device_filter(cgroup: BorrowedFd<'_>, program: &[Insn]) -> Result<()> {
    let insn_cnt = u32::try_from(program.len()).unwrap_or(u32::MAX);
    let load = Load {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt,
        insns: program.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: *b"sampan_devices\0\0",
    };
    // SAFETY: `insns` and `license` point to `insn_cnt` instructions and a C string, which outlive the call; `Load` has
    // the layout of the union's member, without padding.
    let fd = unsafe { bpf(PROG_LOAD, &load) }
        .map_err(Error::of(|| format!("bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE, {insn_cnt} instructions)")))?;
    // SAFETY: a new fd that nobody else owns.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let attach = Attach {
        target_fd: cgroup.as_raw_fd(),
        attach_bpf_fd: program.as_raw_fd(),
        attach_type: CGROUP_DEVICE,
        attach_flags: F_ALLOW_MULTI,
    };
    // SAFETY: no pointers; both fds are open.
    unsafe { bpf(PROG_ATTACH, &attach) }
        .map_err(Error::of(|| format!("bpf(BPF_PROG_ATTACH, cgroup {}, BPF_CGROUP_DEVICE)", attach.target_fd)))?;
    Ok(())
}

/// # Safety
/// `T` is the member of `union bpf_attr` for `command`, free of padding, and its pointers are good for the call.
unsafe fn bpf<T>(command: libc::c_int, attr: &T) -> std::result::Result<RawFd, Errno> {
    // SAFETY: the kernel reads size_of::<T>() bytes; the rest is the caller's promise.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    if done < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(RawFd::try_from(done).unwrap_or(-1))
}
