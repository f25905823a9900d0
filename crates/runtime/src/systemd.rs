//! systemd: the calls that make, change and end a container's scope (org.freedesktop.systemd1(5)).
//!
//! Invariant: a job is waited for; that the process is where systemd was asked to put it is read from the kernel.

use crate::error::{Error, Result};
use bus::{Connection, Method};
use plan::Rejected;
use plan::cgroup::{Enter, Property, Scope, Systemd};
use spec::bus::Value;
use std::path::Path;
use sys::cgroup::Dir;

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";

/// Where systemd itself listens, for root only, bus or not.
const PRIVATE: &str = "/systemd/private";

/// Where systemd is spoken to: the machine's, or an ordinary user's. `env` is the caller's environment.
///
/// # Errors
/// There is none.
pub fn address(user: bool, env: impl Fn(&str) -> Option<String>) -> Result<String> {
    let cannot = |why: &str| Rejected::new("cannot use --systemd-cgroup", why);
    let there = |path: String| Path::new(&path).exists().then(|| format!("unix:path={}", escape(&path)));
    if !user {
        let named = env("DBUS_SYSTEM_BUS_ADDRESS");
        let bus = || there("/run/dbus/system_bus_socket".into()).or_else(|| there(format!("/run{PRIVATE}")));
        let hint = "set the engine's cgroup driver to cgroupfs, or start the machine with systemd";
        return named.or_else(bus).ok_or_else(|| cannot("systemd does not run here").hint(hint).into());
    }
    let runtime = env("XDG_RUNTIME_DIR").filter(|path| path.starts_with('/'));
    let bus = || {
        let runtime = runtime?;
        there(format!("{runtime}/bus")).or_else(|| there(format!("{runtime}{PRIVATE}")))
    };
    env("DBUS_SESSION_BUS_ADDRESS").or_else(bus).ok_or_else(|| {
        let hint = "log in with a session of this user's own (loginctl enable-linger keeps one), or use cgroupfs";
        cannot("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR leads to the user's systemd").hint(hint).into()
    })
}

/// D-Bus specification, "Server Addresses".
fn escape(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte);
    let byte = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") };
    path.bytes().map(byte).collect()
}

fn open(address: &str) -> bus::Result<Connection> {
    if address.ends_with(PRIVATE) { Connection::direct(address) } else { Connection::open(address) }
}

fn method(member: &str) -> Method<'_> {
    Method { destination: NAME, path: PATH, interface: INTERFACE, member }
}

fn cannot(what: impl Into<String>) -> impl FnOnce(bus::Error) -> Error {
    move |error| Rejected::new(what, error.to_string()).into()
}

/// # Errors
/// It cannot be spoken to.
pub fn observe(address: &str) -> Result<Systemd> {
    let what = || format!("cannot speak to systemd at {address}");
    let mut connection = open(address).map_err(cannot(what()))?;
    let mut property = |name: &str| {
        let get = Method { interface: "org.freedesktop.DBus.Properties", ..method("Get") };
        let got = connection.call(get, &[Value::text(INTERFACE), Value::text(name)]).map_err(cannot(what()))?;
        match got.into_iter().next() {
            Some(Value::Variant(value)) => match *value {
                Value::Text(text) => Ok(text),
                _ => Err(Error::Unknown(format!("property {name} of systemd"))),
            },
            _ => Err(Error::Unknown(format!("property {name} of systemd"))),
        }
    };
    let version = property("Version")?;
    let digits: String = version.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
    let version = digits.parse().map_err(|_| Error::Unknown(format!("version in {version:?} of systemd")))?;
    Ok(Systemd { address: address.to_owned(), version, control_group: property("ControlGroup")? })
}

/// The scope, with this process in it.
///
/// # Errors
/// systemd refuses; it is somewhere else.
pub(crate) fn start(scope: &Scope, pid: i32) -> Result<()> {
    let unit = &scope.unit;
    let what = || format!("cannot have systemd start {unit}");
    let mut connection = open(&scope.address).map_err(cannot(what()))?;
    listen(&mut connection).map_err(cannot(what()))?;
    let pids = Value::Array("u".into(), vec![Value::Uint32(pid.cast_unsigned())]);
    let all = scope.properties.iter().cloned().chain([("PIDs".to_owned(), pids)]);
    let body =
        [Value::text(unit), Value::text("replace"), properties(all), Value::Array("(sa(sv))".into(), Vec::new())];
    let start = |connection: &mut Connection| connection.call(method("StartTransientUnit"), &body);
    let job = match start(&mut connection) {
        Err(error) if error.is("org.freedesktop.systemd1.UnitExists") => {
            // One that failed stays until it is forgotten.
            forget(&mut connection, unit).and_then(|()| start(&mut connection))
        }
        job => job,
    };
    let result = job.and_then(|job| wait(&mut connection, &job)).map_err(cannot(what()))?;
    if result != "done" {
        return Err(Rejected::new(what(), format!("its job ended as {result}")).into());
    }
    for path in &scope.dirs {
        if !Dir::open(path)?.processes()?.contains(&pid) {
            return Err(Rejected::new(what(), format!("the process {pid} is not in {path} then")).into());
        }
    }
    Ok(())
}

/// One more process in a scope.
///
/// # Errors
/// systemd refuses.
pub(crate) fn enter(enter: &Enter, pid: i32) -> Result<()> {
    let what = || format!("cannot have systemd put a process into {}", enter.unit);
    let pids = Value::Array("u".into(), vec![Value::Uint32(pid.cast_unsigned())]);
    let body = [Value::text(&enter.unit), Value::text(&enter.below), pids];
    let mut connection = open(&enter.address).map_err(cannot(what()))?;
    connection.call(method("AttachProcessesToUnit"), &body).map(drop).map_err(cannot(what()))
}

/// # Errors
/// systemd refuses.
pub fn set(address: &str, unit: &str, all: Vec<Property>) -> Result<()> {
    let what = || format!("cannot set the properties of {unit}");
    let mut connection = open(address).map_err(cannot(what()))?;
    // As long as the machine runs, as the unit itself.
    let body = [Value::text(unit), Value::Bool(true), properties(all.into_iter())];
    connection.call(method("SetUnitProperties"), &body).map(drop).map_err(cannot(what()))
}

/// That there is no such unit, or no such systemd any more, is success.
///
/// # Errors
/// systemd refuses.
pub(crate) fn stop(address: &str, unit: &str) -> Result<()> {
    let what = || format!("cannot have systemd stop {unit}");
    let mut connection = match open(address) {
        Err(error) if error.is_absent() => return Ok(()),
        connection => connection.map_err(cannot(what()))?,
    };
    let stopped = listen(&mut connection).and_then(|()| {
        let job = connection.call(method("StopUnit"), &[Value::text(unit), Value::text("replace")])?;
        wait(&mut connection, &job)
    });
    match stopped {
        Err(error) if !is_unknown(&error) => return Err(cannot(what())(error)),
        _ => {}
    }
    forget(&mut connection, unit).map_err(cannot(what()))
}

fn is_unknown(error: &bus::Error) -> bool {
    error.is("org.freedesktop.systemd1.NoSuchUnit")
}

fn properties(all: impl Iterator<Item = Property>) -> Value {
    let one = |(name, value)| Value::Struct(vec![Value::Text(name), Value::Variant(Box::new(value))]);
    Value::Array("(sv)".into(), all.map(one).collect())
}

fn forget(connection: &mut Connection, unit: &str) -> bus::Result<()> {
    match connection.call(method("ResetFailedUnit"), &[Value::text(unit)]) {
        Err(error) if !is_unknown(&error) => Err(error),
        _ => Ok(()),
    }
}

/// To be called before the call that makes a job: the job may have ended when its name comes.
fn listen(connection: &mut Connection) -> bus::Result<()> {
    connection.listen(NAME, INTERFACE, "JobRemoved")
}

/// What the job ended as.
fn wait(connection: &mut Connection, job: &[Value]) -> bus::Result<String> {
    let [Value::Path(job)] = job else { return Err(bus::Error::Malformed("no job")) };
    // Its number, its path, the unit, and the result.
    let body = connection.signal("JobRemoved", |body| matches!(body, [_, Value::Path(path), ..] if path == job))?;
    match body.into_iter().nth(3) {
        Some(Value::Text(result)) => Ok(result),
        _ => Err(bus::Error::Malformed("a job without a result")),
    }
}
