//! What went wrong while a plan ran.

use crate::remedy;
use serde::{Deserialize, Serialize};
use std::fmt;
use sys::child::Report;
use sys::process::Exit;
use sys::signal::Signal;

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong while a plan ran.
#[derive(Debug)]
pub enum Error {
    /// A call that the kernel refused.
    Sys(sys::Error),
    /// Something of a slice of apply that is no single call.
    Rejected(plan::Rejected),
    /// A cgroup that does not do what was asked of it.
    Cgroup(crate::apply::cgroup::Error),
    /// A step of the plan.
    Step {
        number: usize,
        total: usize,
        why: String,
        shell: String,
        /// The fix, if it is known.
        hint: Option<String>,
        source: Box<Error>,
    },
    /// A call of the child, known by name only.
    Child {
        call: &'static str,
        errno: rustix::io::Errno,
    },
    /// The command could not be executed in the finished container.
    Exec {
        command: String,
        source: sys::Error,
    },
    /// There is no process of this number, or it is another one.
    Gone(i32),
    /// The child ended without a word.
    Died(Exit),
    /// A program that was called did not end well.
    Ended(Exit),
    /// Something without a number in the plan.
    Late {
        why: String,
        source: Box<Error>,
    },
    Nul(String),
    Unknown(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sys(error) => error.fmt(f),
            Self::Rejected(error) => error.fmt(f),
            Self::Cgroup(error) => error.fmt(f),
            Self::Step { number, total, why, source, .. } => write!(f, "step {number}/{total} ({why}): {source}"),
            Self::Child { call, errno } => write!(f, "{}", sys::Error::new(*call, *errno)),
            Self::Exec { command, source } => write!(f, "cannot execute {command}: {source}"),
            Self::Ended(Exit::Code(code)) => write!(f, "it ended with {code}"),
            Self::Ended(Exit::Signal(signal)) => write!(f, "it was killed by {}", name(*signal)),
            Self::Gone(pid) => write!(f, "the process {pid} is gone"),
            Self::Late { why, source } => write!(f, "{why}: {source}"),
            Self::Died(Exit::Code(code)) => {
                write!(f, "the container's process ended with {code}, without a word")
            }
            Self::Died(Exit::Signal(signal)) => {
                write!(f, "the container's process was killed by {}", name(*signal))
            }
            Self::Nul(text) => write!(f, "{text:?} has a NUL byte"),
            Self::Unknown(what) => write!(f, "there is no {what}"),
        }
    }
}

/// A failure as the user is told it, by this process or by another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// "cannot <verb> <object>"
    pub what: String,
    /// From the nearest to the deepest.
    pub causes: Vec<String>,
    /// The shell form of the step that was running.
    pub step: Option<String>,
    /// The fix.
    pub hint: Option<String>,
    /// The exit code; absent: the verb's own.
    pub code: Option<u8>,
}

impl From<plan::Rejected> for Told {
    fn from(rejected: plan::Rejected) -> Self {
        Self { what: rejected.what, causes: vec![rejected.why], hint: rejected.hint, ..Self::default() }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl Error {
    /// `aim`: what its steps were to do.
    #[must_use]
    pub fn told(self, aim: &str) -> Told {
        let (hint, code) = (self.hint().map(str::to_owned), self.exit_code());
        match self {
            Self::Rejected(rejected) => rejected.into(),
            Self::Step { number, total, why, shell, source, .. } => {
                let causes = match *source {
                    Self::Rejected(rejected) => vec![rejected.what, rejected.why],
                    other => vec![other.to_string()],
                };
                let what = format!("{aim}: step {number}/{total} failed: {why}");
                Told { what, causes, step: Some(shell), hint, code }
            }
            Self::Late { why, source } => {
                let what = format!("{aim}: {why}");
                Told { what, causes: vec![source.to_string()], hint, code, ..Told::default() }
            }
            Self::Exec { command, source } => {
                let what = format!("cannot execute {command}");
                Told { what, causes: vec![source.to_string()], step: None, hint, code }
            }
            error => {
                let what = "cannot go on".to_owned();
                Told { what, causes: vec![error.to_string()], hint, code, ..Told::default() }
            }
        }
    }
}

fn name(signal: i32) -> String {
    match Signal::from_raw(signal) {
        // What a filter does, and seldom anything else.
        Some(Signal::SYS) => format!("{} (bad system call)", Signal::SYS),
        Some(signal) => signal.to_string(),
        None => format!("signal {signal}"),
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What a child's report says of a call, or of a program that it called.
    pub(crate) fn of_child(report: Report) -> Self {
        // wait(2): the signal is in the low bits.
        match (report.call, report.errno & 0x7f) {
            (Report::ENDED, 0) => Self::Ended(Exit::Code((report.errno >> 8) as u8)),
            (Report::ENDED, signal) => Self::Ended(Exit::Signal(signal)),
            _ => {
                let errno = rustix::io::Errno::from_raw_os_error(report.errno);
                Self::Child { call: report.call_name(), errno }
            }
        }
    }

    /// The fix, if it is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Late { source, .. } => source.hint(),
            Self::Step { hint, source, .. } => hint.as_deref().or_else(|| source.hint()),
            Self::Exec { source, .. } => remedy::of_exec(source.errno),
            Self::Sys(error) => sys::remedy(error.errno),
            Self::Rejected(rejected) => rejected.hint.as_deref(),
            _ => None,
        }
    }

    /// docker's: 127 when the command is not there, 126 when it cannot be executed; `None` for what is no exec.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        use rustix::io::Errno;
        let Self::Exec { source, .. } = self else { return None };
        Some(if matches!(source.errno, Errno::NOENT | Errno::NOTDIR) { 127 } else { 126 })
    }
}

/// What could not be done because a call of std failed: with the errno's name, and what helps against it.
#[must_use]
pub fn refused(what: impl Into<String>, error: &std::io::Error) -> plan::Rejected {
    let errno = rustix::io::Errno::from_io_error(error);
    // Errors of std's own, such as text that is not UTF-8, have none.
    let why = errno.map_or_else(|| error.to_string(), sys::errno_words);
    plan::Rejected { what: what.into(), why, hint: errno.and_then(sys::remedy).map(str::to_owned) }
}

impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        Self::Sys(error)
    }
}

impl From<plan::Rejected> for Error {
    fn from(error: plan::Rejected) -> Self {
        Self::Rejected(error)
    }
}

impl From<crate::apply::cgroup::Error> for Error {
    fn from(error: crate::apply::cgroup::Error) -> Self {
        Self::Cgroup(error)
    }
}
