//! What on this host will fail, found before it fails.
//!
//! Invariant: it asks what a start asks, `runtime::observe` and plan's own checks, so that the two cannot differ; what no
//! start looks at (how much is left of something) it reads itself.
//! Must not: change the host, but for what every command does first: undo what dead ones have left.

mod files;
mod kernel;
mod limits;
mod network;

use crate::containers;
use crate::error::{Error, Result};
use crate::paths::Paths;
use plan::Rejected;
use plan::host::Host;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// Some containers will fail, or soon all of them.
    Warning,
    /// No container starts.
    Failure,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    /// What there is; of what is wrong the cause.
    pub what: String,
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, what: what.into(), fix: None }
    }

    fn warning(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, what: what.into(), fix: Some(fix.into()) }
    }

    fn failure(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failure, ..Self::warning(check, what, fix) }
    }

    /// As the command would say it that fails.
    fn refused(check: &'static str, verdict: Verdict, refused: Rejected) -> Self {
        Self { check, verdict, what: format!("{}: {}", refused.what, refused.why), fix: refused.hint }
    }

    fn error(check: &'static str, verdict: Verdict, error: &Error) -> Self {
        Self { check, verdict, what: error.to_string(), fix: error.fix().map(str::to_owned) }
    }
}

/// `env`: the caller's environment.
///
/// # Errors
/// When /proc cannot be read.
pub fn examine(paths: &Paths, env: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Vec<Finding>> {
    let host = runtime::observe::host()?;
    let mut findings = kernel::check(&host);
    findings.extend(limits::check(&host));
    findings.extend(files::check(paths));
    findings.extend(network::check(&host, paths, env));
    findings.extend(registries(env));
    findings.extend(rest(paths));
    Ok(findings)
}

/// The files that a pull reads before it asks anybody.
fn registries(env: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<Finding> {
    let root = runtime::observe::is_machines_root();
    let policy = registry::Policy::load(env).err().map(|error| ("registries.conf", error));
    let files = registry::credentials::Files::new(None, root, env);
    let login = files.find("docker.io", "library/busybox").err().map(|error| ("logins", error));
    let bad = |(check, error): (&'static str, registry::Error)| Finding {
        check,
        verdict: Verdict::Warning,
        what: error.to_string(),
        fix: error
            .hint
            .or_else(|| Some("mend that file, or take it away: no image can be pulled meanwhile".to_owned())),
    };
    let wrong: Vec<Finding> = policy.into_iter().chain(login).map(bad).collect();
    if wrong.is_empty() {
        vec![Finding::ok("registries", "their configuration and the logins can be read")]
    } else {
        wrong
    }
}

/// What others have left: containers whose end nobody undid, and those that nobody can read.
fn rest(paths: &Paths) -> Vec<Finding> {
    let mut wrong: Vec<Finding> = containers::clean(paths)
        .iter()
        .map(|error| Finding::error("what is left of containers", Verdict::Warning, error))
        .collect();
    wrong.extend(containers::unreadable(paths).into_iter().map(|place| {
        let what = format!("nobody can read what {} is", place.display());
        Finding::warning("records", what, format!("rm -r {} takes it away", place.display()))
    }));
    if wrong.is_empty() {
        wrong.push(Finding::ok("what is left of containers", "nothing"));
    }
    wrong
}

/// Of a host whose findings say that no container starts.
#[must_use]
pub fn fails(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.verdict == Verdict::Failure)
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What the caller may not be refused, by its name in capabilities(7).
fn lacks<'a>(host: &'a Host, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> + 'a {
    let has = |name: &&str| plan::capability::bits(&[(*name).to_owned()]) & host.capabilities != 0;
    names.iter().copied().filter(move |name| !has(name))
}
