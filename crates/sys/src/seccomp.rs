//! Loading a seccomp filter.
//!
//! Invariant: no heap and no locks, so it can be called between clone and exec.
//! Must not: know what the filter says.

use libc::{SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_SET_MODE_FILTER, c_ulong};
use rustix::io::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// One instruction of classic BPF, `struct sock_filter` of linux/filter.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Filter {
    len: u16,
    instructions: *const Instruction,
}

/// `seccomp(SECCOMP_SET_MODE_FILTER, flags, program)`: filters the calling thread and what it starts from now on.
/// Needs `no_new_privs` or `CAP_SYS_ADMIN`. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` in `flags` it returns the
/// listener, which is close-on-exec.
///
/// # Errors
/// The errno alone, because the caller may not allocate: EACCES without the right to, EINVAL for a program or a flag
/// that the kernel does not take, EBUSY if there is a listener already, ENOMEM if all filters of the thread together
/// are too long. `SECCOMP_FILTER_FLAG_TSYNC` is EINVAL: it can also return the id of a thread.
pub fn install(program: &[Instruction], flags: u32) -> Result<Option<OwnedFd>, Errno> {
    let flags = c_ulong::from(flags);
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    if flags & SECCOMP_FILTER_FLAG_TSYNC != 0 {
        return Err(Errno::INVAL);
    }
    let filter = Filter { len, instructions: program.as_ptr() };
    let mode = c_ulong::from(SECCOMP_SET_MODE_FILTER);
    // SAFETY: a raw call because neither rustix nor libc wraps it. The kernel copies `len` instructions from
    // `program`, which is that long and outlives the call, and writes nothing to our memory.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const filter) };
    if result < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
    }
    if flags & SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has just made this descriptor for us, so nobody else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(result as i32) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    /// In a child, with no_new_privs: a filter cannot be taken off again.
    fn in_child(check: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child makes only system calls, none of which allocates or takes a lock, and ends with _exit.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                libc::_exit(i32::from(!check()));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }

    fn getppid() -> i32 {
        // SAFETY: takes no memory.
        unsafe { libc::syscall(libc::SYS_getppid) as i32 }
    }

    #[test]
    fn the_kernel_runs_the_program() {
        let program = [
            instruction(LOAD, 0, 0, 0),
            instruction(JUMP_EQUAL, 0, 1, libc::SYS_getppid as u32),
            instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EXDEV as u32),
            instruction(RETURN, 0, 0, ALLOW),
        ];
        assert!(in_child(|| {
            let before = getppid();
            let loaded = install(&program, 0);
            let refused = getppid() == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EXDEV);
            before > 0 && matches!(loaded, Ok(None)) && refused
        }));
    }

    #[test]
    fn a_listener_comes_back() {
        let program = [instruction(RETURN, 0, 0, ALLOW)];
        let flags = SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;
        assert!(in_child(|| {
            let first = install(&program, flags);
            matches!(first, Ok(Some(_))) && install(&program, flags).is_err_and(|errno| errno == Errno::BUSY)
        }));
    }

    #[test]
    fn a_bad_program_or_flag_is_an_error() {
        let no_return = [instruction(LOAD, 0, 0, 0)];
        let fine = [instruction(RETURN, 0, 0, ALLOW)];
        assert!(in_child(|| {
            let bad = [install(&[], 0), install(&no_return, 0), install(&fine, 1 << 31), install(&fine, 1)];
            bad.iter().all(|result| matches!(result, Err(errno) if *errno == Errno::INVAL))
        }));
    }
}
