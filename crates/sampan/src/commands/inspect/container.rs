//! docker's document of a container, and what podman has besides.

use super::{host, network, there};
use engine::containers::Record;
use engine::filter::State;
use engine::inspect::{Inspected, Own};
use engine::request::{Log, Run};
use engine::time::Moment;
use serde_json::{Value, json};
use spec::runtime::Capabilities;

/// Go's zero time, for what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub fn document(of: &Inspected) -> Value {
    let record = &of.listed.record;
    let (program, arguments) = record.command.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
    let file = |name: &str| {
        let path = of.directory.join(name);
        if path.exists() { path.to_string_lossy().into_owned() } else { String::new() }
    };
    let capabilities = |of: fn(&Capabilities) -> &Vec<String>, process: Option<&spec::runtime::Process>| {
        process.and_then(|process| process.capabilities.as_ref()).map(|sets| of(sets).clone())
    };
    let mut document = json!({
        "Id": record.id,
        "Created": record.created.text().map(char::from).iter().collect::<String>(),
        "Path": program,
        "Args": arguments,
        "State": state(of),
        "Image": of.image.clone().unwrap_or_default(),
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": of.log.as_ref().map_or(String::new(), |path| path.to_string_lossy().into_owned()),
        "Name": format!("/{}", record.name),
        "RestartCount": record.restarts,
        "Driver": "overlayfs",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": of.process.as_ref().map_or("", |process| &process.apparmor_profile),
        "ExecIDs": null,
        "HostConfig": of.request.as_ref().map(|request| host::config(request, record)),
        "GraphDriver": graph(of),
        "Mounts": host::mounts(record),
        "Config": config(record, of.request.as_ref()),
        "NetworkSettings": network::settings(of),
        "ImageName": record.image,
        "ImageDigest": of.digest.clone().unwrap_or_default(),
        "OCIRuntime": "sampan",
        "EffectiveCaps": capabilities(|sets| &sets.effective, of.process.as_ref()),
        "BoundingCaps": capabilities(|sets| &sets.bounding, of.process.as_ref()),
        "PidFile": of.request.as_ref().and_then(|request| request.pidfile.clone()).unwrap_or_default(),
        "Namespace": "",
        "Pod": "",
        "Dependencies": record.requires,
    });
    if let Some(size) = of.size {
        document["SizeRw"] = size.own.into();
        document["SizeRootFs"] = size.root.into();
    }
    document
}

fn date(seconds: u64) -> String {
    Moment::of_seconds(seconds).text().map(char::from).iter().collect()
}

fn state(of: &Inspected) -> Value {
    let record = &of.listed.record;
    let state = State::of(&of.listed);
    let is = |other| state == other;
    json!({
        "Status": state.word(),
        // docker: also while it is paused, or waits to be started again.
        "Running": of.listed.running,
        "Paused": is(State::Paused),
        "Restarting": is(State::Restarting),
        "OOMKilled": record.out_of_memory,
        "Dead": is(State::Dead),
        "Pid": if of.listed.running { record.pid } else { 0 },
        "ExitCode": record.exit_code.unwrap_or(0),
        "Error": record.error,
        "StartedAt": if record.started == 0 { NEVER.to_owned() } else { date(record.started) },
        "FinishedAt": if record.finished == 0 { NEVER.to_owned() } else { date(record.finished) },
        "Health": record.health,
        "Death": record.exit_code.map(|_| &record.death),
        "CgroupPath": of.cgroup.clone().unwrap_or_default(),
    })
}

fn graph(of: &Inspected) -> Value {
    let layers: Vec<String> =
        of.listed.record.layers.iter().map(|layer| layer.to_string_lossy().into_owned()).collect();
    if let Some(Own::Tree(tree)) = &of.own {
        return json!({ "Name": "vfs", "Data": { "MergedDir": tree } });
    }
    json!({
        "Name": "overlayfs",
        "Data": {
            "LowerDir": layers.join(":"),
            "UpperDir": of.directory.join("upper"),
            "WorkDir": of.directory.join("work"),
        },
    })
}

fn config(record: &Record, request: Option<&Run>) -> Value {
    let config = &record.config;
    let terminal = request.map(|request| &request.terminal);
    let (tty, interactive) = terminal.map_or((false, false), |terminal| (terminal.tty, terminal.interactive));
    let hostname = request.and_then(|request| request.network.hostname.clone());
    json!({
        "Hostname": hostname.unwrap_or_else(|| record.id.get(..12).unwrap_or_default().to_owned()),
        "Domainname": request.and_then(|request| request.network.domainname.clone()).unwrap_or_default(),
        "User": config.user,
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "ExposedPorts": there(&config.exposed_ports, config.exposed_ports.is_empty()),
        "Tty": tty,
        "OpenStdin": interactive,
        "StdinOnce": false,
        "Env": there(&config.env, config.env.is_empty()),
        "Cmd": there(&config.cmd, config.cmd.is_empty()),
        "Image": record.image,
        "Volumes": there(&config.volumes, config.volumes.is_empty()),
        "WorkingDir": config.working_dir,
        "Entrypoint": there(&config.entrypoint, config.entrypoint.is_empty()),
        "OnBuild": there(&config.on_build, config.on_build.is_empty()),
        "Labels": config.labels,
        "StopSignal": if config.stop_signal.is_empty() { "SIGTERM" } else { &config.stop_signal },
        "StopTimeout": request.and_then(|request| request.stop.patience).map(host::seconds),
        "Healthcheck": config.healthcheck,
        "Annotations": request.map(|request| host::map(&request.annotations)),
    })
}

/// How a log is kept, with docker's names.
pub fn log(log: &Log) -> Value {
    let mut options = serde_json::Map::new();
    let mut put =
        |name: &str, value: Option<String>| options.extend(value.map(|value| (name.to_owned(), value.into())));
    put(
        "max-size",
        log.max_size.map(|size| if size == 0 { "-1".into() } else { spec::unit::Size::from_bytes(size).to_string() }),
    );
    put("max-file", log.max_files.map(|count| count.to_string()));
    put("path", log.path.as_ref().map(|path| path.to_string_lossy().into_owned()));
    put("tag", log.tag.as_ref().map(ToString::to_string));
    put("labels", (!log.labels.is_empty()).then(|| log.labels.join(",")));
    put("env", (!log.env.is_empty()).then(|| log.env.join(",")));
    json!({ "Type": log.driver().name(), "Config": options })
}
