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
        let text = std::io::Error::from_raw_os_error(self.errno.raw_os_error()).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        write!(f, "{}: {} ({text})", self.call, errno_name(self.errno))
    }
}

impl std::error::Error for Error {}

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
        assert_eq!(error.to_string(), "mkdir(\"/x\"): EEXIST (File exists)");
    }
}
