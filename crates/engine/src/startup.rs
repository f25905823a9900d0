//! What comes back after a boot, and who brings it: one unit of systemd's, for all containers.

use crate::containers::{self, Listed};
use crate::control::{self, Stop};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::pods;
use crate::request::Restart;
use crate::run::Notice;
use crate::start;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What the unit is called.
pub const UNIT: &str = "sampan.service";

/// What came of one container.
pub type Each = (String, Result<()>);

/// Start what its policy says: `always`, `unless-stopped` if it was not, `on-failure` if it had failed.
pub fn start_all(paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Vec<Each> {
    let mut all: Vec<Listed> = containers::list(paths).into_iter().filter(|listed| !listed.running).collect();
    // As they were made: who joins another's namespaces comes after that one.
    all.reverse();
    let mut done = Vec::new();
    for Listed { record, .. } in all {
        let Ok(request) = start::load(paths, &record) else { continue };
        let wanted = match request.restart {
            Restart::No => false,
            Restart::Always => record.started > 0,
            Restart::UnlessStopped => record.started > 0 && !record.stopped,
            Restart::OnFailure(_) => !record.stopped && record.exit_code.is_some_and(|code| code != 0),
        };
        if wanted {
            let started = start::start(paths, &record.name, tell).map(drop);
            done.push((record.name, started));
        }
    }
    done
}

/// Stop all that run, which is nobody's wish about any of them: they come back.
pub fn stop_all(paths: &Paths) -> Vec<Each> {
    let running = containers::list(paths).into_iter().filter(|listed| listed.running);
    // While the others of its pod run, they may need its network.
    let (last, first): (Vec<Listed>, Vec<Listed>) = running.partition(pods::is_infra);
    [first, last].into_iter().flat_map(|listed| end_all(paths, listed)).collect()
}

fn end_all(paths: &Paths, listed: Vec<Listed>) -> Vec<Each> {
    let stop = Stop { passing: true, keep: true, ..Stop::default() };
    // All at once: each may take its time.
    let _asked: Vec<_> = listed.iter().map(|listed| control::ask_for(paths, &listed.record, stop)).collect();
    listed.into_iter().map(|Listed { record, .. }| (record.name.clone(), control::end(paths, &record, stop))).collect()
}

fn place(user: bool) -> Result<PathBuf> {
    if !user {
        return Ok("/etc/systemd/system".into());
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    config.map(|config| config.join("systemd/user")).ok_or_else(|| {
        Error::rejected("cannot find a place for the unit", "neither HOME nor XDG_CONFIG_HOME is set").hint("set HOME")
    })
}

/// The unit that brings them back. A monitor is nobody's but its own: it stays when the unit's own process has ended.
fn unit(program: &str, paths: &Paths, user: bool) -> String {
    let (root, state) = (paths.data.display(), paths.state.display());
    let call = format!("{program} --root {root} --state {state} system");
    let (after, target) = if user {
        ("", "default.target")
    } else {
        ("Wants=network-online.target\nAfter=network-online.target\n", "multi-user.target")
    };
    format!(
        "[Unit]\nDescription=Containers of sampan that start with the machine\n{after}RequiresMountsFor={root}\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nKillMode=process\nExecStart={call} start-all\n\
         ExecStop={call} stop-all\nTimeoutStopSec=120\n\n[Install]\nWantedBy={target}\n"
    )
}

/// Have containers come back after a boot. The unit's path.
///
/// # Errors
/// There is no systemd; it refuses.
pub fn enable(paths: &Paths) -> Result<PathBuf> {
    let user = !runtime::observe::is_machines_root();
    check(user, "cannot have containers start with the machine")?;
    let program = std::fs::read_link("/proc/self/exe")
        .map_err(|error| Error::io("cannot find this program", &error))?
        .to_string_lossy()
        .into_owned();
    let path = place(user)?.join(UNIT);
    let cannot = |error: std::io::Error| Error::io(format!("cannot write {}", path.display()), &error);
    std::fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(cannot)?;
    std::fs::write(&path, unit(&program, paths, user)).map_err(cannot)?;
    systemctl(user, &["daemon-reload"])?;
    systemctl(user, &["enable", UNIT])?;
    Ok(path)
}

/// Take that back; the containers go on.
///
/// # Errors
/// There is no systemd; it refuses.
pub fn disable() -> Result<PathBuf> {
    let user = !runtime::observe::is_machines_root();
    check(user, "cannot have containers not start with the machine")?;
    let path = place(user)?.join(UNIT);
    if path.exists() {
        systemctl(user, &["disable", UNIT])?;
        std::fs::remove_file(&path).map_err(|error| Error::io(format!("cannot remove {}", path.display()), &error))?;
        systemctl(user, &["daemon-reload"])?;
    }
    Ok(path)
}

/// sd_booted(3).
fn check(user: bool, what: &str) -> Result<()> {
    if std::path::Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    let who = if user { " as this user" } else { "" };
    Err(Error::rejected(what, "systemd does not run here")
        .hint(format!("call sampan system start-all{who} from what starts this machine's services")))
}

fn systemctl(user: bool, words: &[&str]) -> Result<()> {
    let mut command = Command::new("systemctl");
    command.args(user.then_some("--user")).args(words).stdin(Stdio::null());
    let what = || format!("cannot have systemd do: systemctl {}", words.join(" "));
    let output = command.output().map_err(|error| Error::io(what(), &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::rejected(what(), String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_names_the_program_and_its_places() {
        let paths = Paths { data: "/data".into(), state: "/state".into() };
        let text = unit("/bin/sampan", &paths, false);
        assert!(text.contains("ExecStart=/bin/sampan --root /data --state /state system start-all\n"), "{text}");
        assert!(text.contains("WantedBy=multi-user.target\n") && text.contains("KillMode=process\n"));
        assert!(unit("/bin/sampan", &paths, true).contains("WantedBy=default.target\n"));
    }
}
