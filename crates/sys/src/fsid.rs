//! File-system ids: another user's rights on files, and nothing else of that user.

use crate::{Error, Result};
use rustix::io::Errno;

/// Sets this thread's file-system ids (setfsuid(2), setfsgid(2)). From 0 to another uid the file capabilities leave the
/// effective set, and they come back with 0 (capabilities(7), "Effect of user ID changes"); all others stay.
///
/// # Errors
/// `EPERM` if the ids are not in force afterwards: the calls themselves report nothing.
pub fn set(uid: u32, gid: u32) -> Result<()> {
    // SAFETY: both calls take plain numbers and change only this thread's credentials.
    let now = unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        // The documented way to ask: an invalid id changes nothing and returns the present one.
        (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX))
    };
    if now == (uid.cast_signed(), gid.cast_signed()) {
        return Ok(());
    }
    Err(Error::new(format!("setfsuid({uid}), setfsgid({gid})"), Errno::PERM))
}
