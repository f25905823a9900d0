//! A refused call, printed as strace would.

use rustix::io::Errno;
use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// A call that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// As strace would print it: `openat2(5, "proc", O_PATH, RESOLVE_IN_ROOT)`.
    pub call: String,
    pub errno: Errno,
}

impl Error {
    #[must_use]
    pub fn new(call: impl Into<String>, errno: Errno) -> Self {
        Self { call: call.into(), errno }
    }

    /// For `map_err`: the call is only formatted when it failed.
    pub fn of(call: impl FnOnce() -> String) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { call: call(), errno }
    }

    /// The same for an error of std, which holds an errno whenever the kernel made it.
    pub fn of_io(call: impl FnOnce() -> String) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self { call: call(), errno: Errno::from_io_error(&error).unwrap_or(Errno::IO) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, errno_words(self.errno))
    }
}

impl std::error::Error for Error {}

/// What helps against this errno, whatever was done with files or memory; none where that depends.
#[must_use]
pub fn remedy(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::NOSPC => "free some space there, or inodes (df -h, df -i)",
        Errno::DQUOT => "the quota of this user or directory is used up: free some space there (quota)",
        Errno::ROFS => "that file system is read-only: mount it writable, or use a directory on another",
        Errno::MFILE => "too many files are open in this process: raise ulimit -n",
        Errno::NFILE => "too many files are open on this machine: raise the sysctl fs.file-max",
        Errno::NOMEM => "memory ran out: end something else",
        Errno::NOSYS => "the kernel is older than sampan needs, or a seccomp filter forbids the call",
        _ => return None,
    })
}

/// `ENOENT (no such file or directory)`: small, as all of a message, and as engines look for it in a runtime's.
#[must_use]
pub fn errno_words(errno: Errno) -> String {
    let mut text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    text.get_mut(..1).map(str::make_ascii_lowercase);
    format!("{} ({})", errno_name(errno), text.split(" (os error").next().unwrap_or_default())
}

/// `ENOENT` for 2, and so on; `errno N` for one without a name here.
#[must_use]
pub fn errno_name(errno: Errno) -> String {
    macro_rules! names {
        ($($name:ident)*) => { match errno.raw_os_error() { $(libc::$name => stringify!($name).to_owned(),)* n => format!("errno {n}") } };
    }
    names!(EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
        EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
        EDEADLK ENAMETOOLONG ENOSYS ENOTEMPTY ELOOP ENODATA EPROTO EBADMSG EOVERFLOW EUSERS ENOTSOCK EMSGSIZE
        EPROTONOSUPPORT EOPNOTSUPP EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ECONNABORTED ECONNRESET
        ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT ECANCELED
        EKEYREJECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_call_name_and_text() {
        let error = Error::new("mkdir(\"/x\")", Errno::EXIST);
        assert_eq!(error.to_string(), "mkdir(\"/x\"): EEXIST (file exists)");
    }
}
