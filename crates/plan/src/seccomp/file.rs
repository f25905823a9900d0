//! A user's profile, as docker's `--security-opt seccomp=FILE` takes it: the runtime-spec's form, or moby's, which is
//! written once for all machines and says of each rule where it applies.
//!
//! Invariant: the result says the same as the file does on this machine for these capabilities.
//! Must not: judge actions, operators and flags; compiling does.

use super::abi::Arch;
use crate::Rejected;
use serde::Deserialize;
use spec::runtime::{Seccomp, SyscallArg, SyscallRule};

/// The profile in `json` for a container with the bounding capabilities `caps` (`CAP_*`), on a kernel of the version
/// `kernel` (major, minor). `None`: it says nothing at all, which is docker's way to switch seccomp off.
///
/// # Errors
/// Text that is no such profile, and one that says the same thing in two ways.
pub fn parse(
    json: &str,
    caps: &[impl AsRef<str>],
    arch: Arch,
    kernel: (u32, u32),
) -> Result<Option<Seccomp>, Rejected> {
    let file: File = serde_json::from_str(json).map_err(|error| unreadable(error.to_string()))?;
    let rules = file.syscalls.unwrap_or_default();
    if file.default_action.is_none() {
        // docker's: a profile that says nothing is none. One whose keys are mistyped must not be that.
        let all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
        return if all.is_empty() { Ok(None) } else { Err(unreadable("it has no `defaultAction`")) };
    }
    let here = Here { caps: caps.iter().map(AsRef::as_ref).collect(), arch, kernel };
    let mut syscalls = Vec::with_capacity(rules.len());
    for rule in rules {
        if here.includes(&rule.includes)? && !here.excludes(&rule.excludes)? {
            syscalls.push(rule.into_spec()?);
        }
    }
    Ok(Some(Seccomp {
        default_action: file.default_action.unwrap_or_default(),
        default_errno_ret: file.default_errno_ret,
        architectures: architectures(file.architectures, file.arch_map, arch)?,
        flags: file.flags.unwrap_or_default(),
        listener_path: file.listener_path.unwrap_or_default(),
        listener_metadata: file.listener_metadata.unwrap_or_default(),
        syscalls,
    }))
}

fn unreadable(why: impl Into<String>) -> Rejected {
    Rejected::new("cannot read the seccomp profile", why).hint("it must be JSON as docker's default.json")
}

fn architectures(
    listed: Option<Vec<String>>,
    map: Option<Vec<Architecture>>,
    arch: Arch,
) -> Result<Vec<String>, Rejected> {
    let (listed, map) = (listed.unwrap_or_default(), map.unwrap_or_default());
    if !listed.is_empty() && !map.is_empty() {
        return Err(unreadable("it has both architectures and archMap"));
    }
    let native = arch.native().name();
    let here = map.into_iter().find(|entry| entry.architecture == native);
    let mapped = here.map(|entry| {
        let mut mapped = vec![entry.architecture];
        mapped.extend(entry.sub_architectures.unwrap_or_default());
        mapped
    });
    Ok(mapped.unwrap_or(listed))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: Option<String>,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<Architecture>>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// From before `names`.
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<SyscallArg>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

impl Rule {
    fn into_spec(self) -> Result<SyscallRule, Rejected> {
        let mut names = self.names.unwrap_or_default();
        if let Some(name) = self.name.filter(|name| !name.is_empty()) {
            if !names.is_empty() {
                return Err(unreadable(format!("the rule for {name} has both name and names")));
            }
            names.push(name);
        }
        Ok(SyscallRule { names, action: self.action, errno_ret: self.errno_ret, args: self.args.unwrap_or_default() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What filters ask about.
struct Here<'a> {
    caps: Vec<&'a str>,
    arch: Arch,
    kernel: (u32, u32),
}

impl Here<'_> {
    /// All that the filter asks for is so.
    fn includes(&self, filter: &Option<Filter>) -> Result<bool, Rejected> {
        let Some(filter) = filter else { return Ok(true) };
        let arches = filter.arches.as_deref().unwrap_or_default();
        let caps = filter.caps.as_deref().unwrap_or_default();
        Ok((arches.is_empty() || self.is_one_of(arches))
            && caps.iter().all(|cap| self.has(cap))
            && self.is_since(&filter.min_kernel)?.unwrap_or(true))
    }

    /// Any that the filter asks for is so.
    fn excludes(&self, filter: &Option<Filter>) -> Result<bool, Rejected> {
        let Some(filter) = filter else { return Ok(false) };
        Ok(self.is_one_of(filter.arches.as_deref().unwrap_or_default())
            || filter.caps.as_deref().unwrap_or_default().iter().any(|cap| self.has(cap))
            || self.is_since(&filter.min_kernel)?.unwrap_or(false))
    }

    fn has(&self, cap: &str) -> bool {
        self.caps.contains(&cap)
    }

    fn is_one_of(&self, arches: &[String]) -> bool {
        arches.iter().any(|arch| arch == self.arch.docker_name())
    }

    fn is_since(&self, version: &Option<String>) -> Result<Option<bool>, Rejected> {
        let Some(version) = version else { return Ok(None) };
        let numbers =
            version.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let numbers: (u32, u32) = numbers.ok_or_else(|| unreadable(format!("{version:?} is no kernel version")))?;
        Ok(Some(self.kernel >= numbers))
    }
}
