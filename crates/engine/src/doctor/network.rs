//! The ways by which a container is connected.

use super::{Finding, Verdict, number};
use crate::paths::Paths;
use crate::request::network::{DEFAULT, Endpoint};
use plan::host::Host;
use plan::network::files;
use runtime::observe::network as observe;
use std::path::PathBuf;

pub fn check(host: &Host, paths: &Paths, env: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<Finding> {
    let mut findings = if host.is_machines_root() { bridge(paths) } else { vec![pasta(env)] };
    findings.push(names());
    findings
}

/// As for a container on the usual network.
fn bridge(paths: &Paths) -> Vec<Finding> {
    let check = "bridge and nftables";
    let asked = crate::net::asked("doctor", &Endpoint::of(DEFAULT), "eth0".to_owned(), Vec::new());
    let connected =
        observe::host(&paths.networks(), &asked).and_then(|(host, _)| plan::network::connect(&asked, &host));
    let mut findings = match connected {
        Err(refused) => vec![Finding::refused(check, Verdict::Warning, refused)],
        Ok(connection) if connection.warnings.is_empty() => vec![Finding::ok(check, "a network can be made")],
        Ok(connection) => connection.warnings.iter().map(|text| said(check, text)).collect(),
    };
    // Published ports are reached between containers all the same: the plan sees to it.
    if number("/proc/sys/net/bridge/bridge-nf-call-iptables") == Some(1) {
        findings.push(Finding::ok("bridge netfilter", "the host's rules are asked between containers, too"));
    }
    findings
}

/// A warning of a start's, with its hint.
fn said(check: &'static str, text: &str) -> Finding {
    let (what, fix) = text.split_once("\nhint: ").map_or((text, None), |(what, fix)| (what, Some(fix.to_owned())));
    Finding { check, verdict: Verdict::Warning, what: what.to_owned(), fix }
}

fn pasta(env: &dyn Fn(&str) -> Option<PathBuf>) -> Finding {
    let check = "pasta";
    let search = env("PATH").unwrap_or_default();
    match observe::pasta(&search.to_string_lossy()) {
        None => Finding::warning(check, "an ordinary user's containers have no network without it", "install passt"),
        Some(_) if !observe::tun() => {
            Finding::warning(check, "/dev/net/tun cannot be opened", "as root: modprobe tun; chmod 666 /dev/net/tun")
        }
        Some(path) => Finding::ok(check, path.display().to_string()),
    }
}

fn names() -> Finding {
    let check = "name servers";
    let (host, resolved) = observe::resolvers();
    match files::resolv_conf(&host, resolved.as_deref(), &files::Dns::default()).warning {
        None => Finding::ok(check, "the host names some that containers can ask"),
        Some(text) => said(check, &text),
    }
}
