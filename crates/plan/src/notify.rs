//! What a container says to the service manager (sd_notify(3)), and what of it the manager of its caller hears.
//!
//! Invariant: what names a process, a file or who may speak is the container's own affair and does not pass: its process
//! ids are those of another namespace, and the manager would take them for the host's.

/// Where the container finds its socket, as with runc.
pub const DIRECTORY: &str = "/run/notify";
pub const NAME: &str = "notify.sock";
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// More than this systemd does not read (PIPE_BUF).
pub const LONGEST: usize = 4096;

/// What says how the service is.
const PASSED: [&str; 11] = [
    "READY",
    "RELOADING",
    "STOPPING",
    "MONOTONIC_USEC",
    "STATUS",
    "ERRNO",
    "BUSERROR",
    "EXIT_STATUS",
    "WATCHDOG",
    "WATCHDOG_USEC",
    "EXTEND_TIMEOUT_USEC",
];

/// What goes on, and whether the service is ready by now.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    pub text: String,
    pub ready: bool,
}

/// Of one datagram; `None` where nothing of it goes on. Who is ready is watched by the process `main` of the host's.
#[must_use]
pub fn heard(datagram: &[u8], main: i32) -> Option<Heard> {
    let text = str::from_utf8(datagram).ok().filter(|text| text.len() <= LONGEST)?;
    let passes = |line: &&str| line.split_once('=').is_some_and(|(name, _)| PASSED.contains(&name));
    let mut lines: Vec<&str> = text.lines().filter(passes).collect();
    if lines.is_empty() {
        return None;
    }
    let ready = lines.contains(&"READY=1");
    let process = format!("MAINPID={main}");
    lines.extend(ready.then_some(&*process));
    Some(Heard { text: lines.join("\n"), ready })
}

#[cfg(test)]
mod tests {
    use super::{Heard, LONGEST, heard};

    #[test]
    fn how_a_service_is_passes() {
        let said = |text: &str| heard(text.as_bytes(), 7).map(|Heard { text, ready }| (text, ready));
        let some = |text: &str, ready| Some((text.to_owned(), ready));
        assert_eq!(said("READY=1"), some("READY=1\nMAINPID=7", true));
        assert_eq!(said("STATUS=a = b\nREADY=1\n"), some("STATUS=a = b\nREADY=1\nMAINPID=7", true));
        assert_eq!(said("STATUS=half"), some("STATUS=half", false));
        assert_eq!(said("RELOADING=1\nMONOTONIC_USEC=5"), some("RELOADING=1\nMONOTONIC_USEC=5", false));
    }

    #[test]
    fn what_names_a_process_or_a_file_does_not() {
        for text in ["", "MAINPID=1", "BARRIER=1", "FDSTORE=1\nFDNAME=x", "NOTIFYACCESS=all", "READY", " READY=1"] {
            assert_eq!(heard(text.as_bytes(), 7), None, "{text}");
        }
        assert_eq!(heard(b"MAINPID=1\nSTATUS=x", 7), Some(Heard { text: "STATUS=x".to_owned(), ready: false }));
        assert_eq!(heard(b"READY=1\nSTATUS=\xff", 7), None);
        assert_eq!(heard(format!("READY=1\nSTATUS={}", "x".repeat(LONGEST)).as_bytes(), 7), None);
    }
}
