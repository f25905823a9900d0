//! Where the program begins: in C's `main`, without what Rust's runtime does before its own.
//!
//! The start of the program is part of every container's start, and that takes more than a tenth of a millisecond: to tell
//! an overflow of the stack from other faults it reads /proc/self/maps and maps a second stack. What is needed of it is
//! here: three open standard files, so that none of ours gets their numbers, and write(2) that fails where nobody reads.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// Makes the function (`fn(Vec<OsString>) -> u8`, from arguments to an exit code) what the program does.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        // SAFETY: no other function of the program is called so: it has no Rust `main`.
        #[unsafe(no_mangle)]
        extern "C" fn main(count: ::std::ffi::c_int, words: *const *const ::std::ffi::c_char) -> ::std::ffi::c_int {
            // SAFETY: they are what C's start-up gives to its `main`.
            let words = unsafe { $crate::entry::arguments(count, words) };
            $crate::entry::enter(words, $run)
        }
    };
}

/// # Safety
/// `words` points to `count` strings with a NUL at their end, which stay.
#[must_use]
pub unsafe fn arguments(count: c_int, words: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(count).unwrap_or_default();
    // SAFETY: the caller's promise, for each of them.
    let word = |at| unsafe { CStr::from_ptr(*words.add(at)) };
    (0..count).map(|at| OsStr::from_bytes(word(at).to_bytes()).to_owned()).collect()
}

/// Does not come back: what is buffered of standard output is written by exit(3) as Rust has it.
pub fn enter(words: Vec<OsString>, run: fn(Vec<OsString>) -> u8) -> c_int {
    open_standard_files();
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    std::process::exit(run(words).into())
}

fn open_standard_files() {
    let mut files = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: a pointer to so many of them, which live until it returns.
    unsafe { libc::poll(files.as_mut_ptr(), 3, 0) };
    for _ in files.iter().filter(|file| file.revents & libc::POLLNVAL != 0) {
        // SAFETY: a string with a NUL at its end. The lowest number that is free is the one that is missing.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } < 0 {
            std::process::abort();
        }
    }
}
