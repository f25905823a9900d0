//! The one form of a failure.

use super::{CYAN, RED, clean, styled};
use engine::{Rejected, RuntimeError, Told};
use spec::unit::Invalid;
use std::fmt::Write as _;

/// Why a command ended, in the form that every message has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// "cannot <verb> <object>"
    pub what: String,
    /// From the nearest to the deepest.
    pub causes: Vec<String>,
    /// The shell form of the step that was running.
    pub step: Option<String>,
    /// The fix.
    pub hint: Option<String>,
    /// The exit code; absent: 125.
    pub code: Option<u8>,
}

impl Failure {
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    #[must_use]
    pub fn cause(mut self, cause: impl ToString) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    /// `what`, and why a value that the user wrote is not valid.
    #[must_use]
    pub fn invalid(what: impl Into<String>, error: Invalid) -> Self {
        Self { what: what.into(), causes: vec![error.why], hint: error.hint, ..Self::default() }
    }

    /// Newline at the end.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        // A name with a newline in it must not look like a line of its own.
        let what = self.what.replace('\n', "\\n");
        let mut text = format!("{} {}\n", styled("error:", RED, colour), clean(&what));
        for line in self.causes.iter().flat_map(|cause| cause.lines()) {
            let _ = writeln!(text, "  {}", clean(line));
        }
        for (word, lines) in [("step:", &self.step), ("hint:", &self.hint)] {
            for (index, line) in lines.iter().flat_map(|lines| lines.lines()).enumerate() {
                let word = if index == 0 { styled(word, CYAN, colour) } else { "     ".into() };
                let _ = writeln!(text, "{word} {}", clean(line));
            }
        }
        text
    }
}

impl From<Told> for Failure {
    fn from(told: Told) -> Self {
        let Told { what, causes, step, hint, code } = told;
        Self { what, causes, step, hint, code }
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        Told::from(rejected).into()
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Told::from(error).into()
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        engine::Error::from(error).into()
    }
}

impl Failure {
    /// What its steps were to do.
    pub fn of_plan(aim: &str, error: RuntimeError) -> Self {
        error.told(aim).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_form() {
        let mut failure =
            Failure::new("cannot start web").cause("cannot mount proc").cause("EPERM").hint("be root\nor");
        failure.step = Some("mount -t proc proc /proc".into());
        let text = "error: cannot start web\n  cannot mount proc\n  EPERM\nstep: mount -t proc proc /proc\n\
                    hint: be root\n      or\n";
        assert_eq!(failure.render(false), text);
        assert!(failure.render(true).starts_with("\x1b[1;31merror:\x1b[0m cannot start web\n"));
    }

    #[test]
    fn takes_what_the_plan_rejects() {
        let failure = Failure::from(Rejected::new("cannot a", "b").hint("c"));
        assert_eq!(failure.render(false), "error: cannot a\n  b\nhint: c\n");
    }
}
