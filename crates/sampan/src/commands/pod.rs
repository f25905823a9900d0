//! `sampan pod …`.

use super::list::List;
use super::run::Teller;
use super::stats::{self, Look};
use crate::cli::pod::{self as arguments, Call};
use crate::cli::{Format, Globals};
use crate::template::{Field, METHOD};
use crate::ui::{self, Failure, Ui, table};
use engine::Paths;
use engine::containers::{Choice, Listed, Which};
use engine::control::Stop;
use engine::pods::{self, Found, Pod};
use engine::request::network::Mode;
use engine::state::State;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// # Errors
/// [`Failure`] for what cannot be done.
pub fn run(call: &Call, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    let tell = |notice| Teller::new(true, ui).tell(notice);
    match call {
        Call::Create(arguments) => create(arguments, globals, ui),
        Call::List(arguments) => list(arguments, globals, ui),
        Call::Inspect(arguments) => inspect(arguments, globals, ui),
        Call::Exists(arguments) => return exists(arguments, globals),
        Call::Start(arguments) => each(&arguments.which.choice(false), Said::Word, globals, ui, |paths, found| {
            pods::start(paths, found, &mut |notice| tell(notice))
        }),
        Call::Stop(arguments) => {
            let stop = Stop { patience: arguments.time, ..Stop::default() };
            each(&arguments.which.choice(arguments.ignore), Said::Word, globals, ui, |paths, found| {
                pods::stop(paths, found, stop)
            })
        }
        Call::Restart(arguments) => each(&arguments.which.choice(false), Said::Id, globals, ui, |paths, found| {
            pods::restart(paths, found, &mut |notice| tell(notice))
        }),
        Call::Kill(arguments) => each(&arguments.which.choice(false), Said::Id, globals, ui, |paths, found| {
            pods::kill(paths, found, arguments.signal)
        }),
        Call::Pause(arguments) => each(&arguments.which.choice(false), Said::Id, globals, ui, pods::pause),
        Call::Unpause(arguments) => each(&arguments.which.choice(false), Said::Id, globals, ui, pods::unpause),
        Call::Remove(arguments) => remove(arguments, globals, ui),
        Call::Prune(arguments) => prune(arguments, globals, ui),
        Call::Logs(arguments) => logs(arguments, globals),
        Call::Top(arguments) => top(arguments, globals),
        Call::Stats(arguments) => stats(arguments, globals),
    }
    .map(|()| ui::SUCCESS)
}

fn create(arguments: &arguments::Made, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let mut teller = Teller::new(true, ui);
    let pod = pods::create(&paths, &arguments.create, &mut |notice| teller.tell(notice))?;
    if let Some(path) = &arguments.id_file {
        let what = || format!("cannot write {}", path.display());
        std::fs::write(path, &pod.id).map_err(|error| engine::refused(what(), &error))?;
    }
    ui::print(&format!("{}\n", pod.id))
}

/// What is printed of a pod that it was done to, as podman has it.
#[derive(Clone, Copy)]
enum Said {
    Word,
    Id,
}

fn each(
    choice: &Choice,
    said: Said,
    globals: &Globals,
    ui: &Ui,
    act: impl Fn(&Paths, &Found) -> pods::Failed,
) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let one = |word: String| {
        let found = pods::find(&paths, &word)?;
        let failed = act(&paths, &found).into_iter().map(|error| Err(Failure::from(error)));
        super::all(failed, ui)?;
        ui::print(&format!("{}\n", if let Said::Word = said { &word } else { &found.pod.id }))
    };
    super::all(pods::choose(&paths, choice)?.into_iter().map(one), ui)
}

fn remove(arguments: &arguments::Remove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let force = arguments.force || arguments.time.is_some();
    let stop = force.then_some(Stop { patience: arguments.time, ..Stop::default() });
    let one = |word: String| ui::print(&format!("{}\n", pods::remove(&paths, &word, stop)?.id));
    let choice = arguments.which.choice(arguments.ignore || arguments.force);
    super::all(pods::choose(&paths, &choice)?.into_iter().map(one), ui)
}

fn prune(arguments: &arguments::Prune, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    if !arguments.force && !super::agreed("pods", "all stopped pods, with their containers")? {
        return Ok(());
    }
    let ids = pods::prune(&super::clean_paths(globals, ui)?)?;
    ui::print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>())
}

/// Nothing is printed: the exit code says it.
fn exists(arguments: &arguments::Exists, globals: &Globals) -> Result<u8, Failure> {
    Ok(u8::from(pods::find(&super::paths(globals)?, &arguments.pod).is_err()))
}

const FIELDS: [Field; 15] = [
    ("ID", "POD ID"),
    ("Id", "POD ID"),
    ("Name", "NAME"),
    ("Status", "STATUS"),
    ("Created", "CREATED"),
    ("InfraID", "INFRA ID"),
    ("InfraId", "INFRA ID"),
    ("NumberOfContainers", "# OF CONTAINERS"),
    ("ContainerIds", "IDS"),
    ("ContainerNames", "NAMES"),
    ("ContainerStatuses", "STATUS"),
    ("Labels", "LABELS"),
    ("Networks", "NETWORKS"),
    ("Cgroup", "CGROUP"),
    (METHOD, ""),
];

fn list(arguments: &arguments::List, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let last = if arguments.latest { 1 } else { usize::MAX };
    let pods: Vec<Found> = pods::select(&paths, &arguments.filter).into_iter().take(last).collect();
    if arguments.format == Format::Json {
        let documents: Vec<Value> = pods.iter().map(|found| document(&paths, found)).collect();
        return ui::print(&format!("{:#}\n", Value::Array(documents)));
    }
    let rows: Vec<Value> = pods.iter().map(|found| row(&paths, found, arguments.no_trunc)).collect();
    let quiet = arguments.quiet.then_some("ID");
    let mut columns = vec!["ID", "Name", "Status", "Created", "InfraID"];
    let more = [
        (arguments.ctr_ids, "ContainerIds"),
        (arguments.ctr_names, "ContainerNames"),
        (arguments.ctr_status, "ContainerStatuses"),
    ];
    columns.extend(more.iter().filter(|(asked, _)| *asked).map(|(_, column)| column));
    if columns.len() == 5 {
        columns.push("NumberOfContainers");
    }
    let list = List { fields: &FIELDS, columns: &columns, rows: &rows, quiet, heading: !arguments.noheading };
    ui::print(&list.text(&arguments.format)?)
}

/// podman's keys, all values texts but that of [`METHOD`].
fn row(paths: &Paths, found: &Found, whole: bool) -> Value {
    let pod = &found.pod;
    let id = |id: &str| if whole { id.to_owned() } else { super::short(id).to_owned() };
    let of_all = |text: &dyn Fn(&Listed) -> String| found.members.iter().map(text).collect::<Vec<_>>().join(",");
    let infra = pod.infra.as_deref().map(id).unwrap_or_default();
    let labels: Vec<String> = pod.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "ID": id(&pod.id),
        "Id": id(&pod.id),
        "Name": pod.name,
        "Status": found.state(),
        "Created": super::ps::ago(super::seconds_since(pod.created.seconds())),
        "InfraID": infra,
        "InfraId": infra,
        "NumberOfContainers": found.members.len().to_string(),
        "ContainerIds": of_all(&|listed| id(&listed.record.id)),
        "ContainerNames": of_all(&|listed| listed.record.name.clone()),
        "ContainerStatuses": of_all(&|listed| State::of(listed).word().to_owned()),
        "Labels": labels.join(","),
        "Networks": networks(paths, found).join(","),
        "Cgroup": "",
        METHOD: pod.labels,
    })
}

fn networks(paths: &Paths, found: &Found) -> Vec<String> {
    found.infra().map_or_else(Vec::new, |infra| engine::networks::of(paths, infra))
}

/// podman's, of `pod ps --format json`.
fn document(paths: &Paths, found: &Found) -> Value {
    let pod = &found.pod;
    let member = |listed: &Listed| {
        json!({
            "Id": listed.record.id,
            "Names": listed.record.name,
            "Status": State::of(listed).word(),
            "RestartCount": listed.record.restarts,
        })
    };
    json!({
        "Cgroup": "",
        "Containers": found.members.iter().map(member).collect::<Vec<_>>(),
        "Created": engine::time::rfc3339(pod.created.seconds()),
        "Id": pod.id,
        "InfraId": pod.infra.as_deref().unwrap_or_default(),
        "Name": pod.name,
        "Namespace": "",
        "Networks": networks(paths, found),
        "Status": found.state(),
        "Labels": pod.labels,
    })
}

fn inspect(arguments: &arguments::Inspect, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let words = arguments.pods.iter().map(ToString::to_string).collect();
    let choice = Choice { words, latest: arguments.latest, ..Choice::default() };
    let mut found = Vec::new();
    let inspect = |word: String| {
        let pod = pods::find(&paths, &word)?;
        found.push(object(&paths, &pod));
        Ok(())
    };
    let done: Vec<Result<(), Failure>> = pods::choose(&paths, &choice)?.into_iter().map(inspect).collect();
    ui::print(&super::list::documents(arguments.format.as_ref(), found)?)?;
    super::all(done.into_iter(), ui)
}

/// podman's document, of what is known here.
fn object(paths: &Paths, found: &Found) -> Value {
    let pod = &found.pod;
    let member = |listed: &Listed| json!({ "Id": listed.record.id, "Name": listed.record.name, "State": State::of(listed).word() });
    let infra = found.infra().and_then(|listed| Some((listed, pods::infra_request(paths, listed).ok()?)));
    let hostname = infra.as_ref().and_then(|(_, request)| request.network.hostname.clone()).unwrap_or_default();
    json!({
        "Id": pod.id,
        "Name": pod.name,
        "Created": engine::time::rfc3339(pod.created.seconds()),
        "CreateCommand": pod.command,
        "ExitPolicy": "continue",
        "State": found.state(),
        "Hostname": hostname,
        "Labels": pod.labels,
        "CreateCgroup": false,
        "CgroupParent": "",
        "CgroupPath": "",
        "CreateInfra": pod.infra.is_some(),
        "InfraContainerID": pod.infra.as_deref().unwrap_or_default(),
        "InfraConfig": infra.map(|(listed, request)| config(paths, listed, &request)),
        "SharedNamespaces": pod.shares.iter().map(|share| share.word()).collect::<Vec<_>>(),
        "RestartPolicy": pod.restart.name(),
        "NumContainers": found.members.len(),
        "Containers": found.members.iter().map(member).collect::<Vec<_>>(),
    })
}

fn config(paths: &Paths, infra: &Listed, request: &engine::request::Run) -> Value {
    let mut ports: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for mapping in engine::port::mappings(&infra.record) {
        if let Some((address, port)) = mapping.outside.rsplit_once(':') {
            let address = address.trim_matches(['[', ']']);
            ports.entry(mapping.inside).or_default().push(json!({ "HostIp": address, "HostPort": port }));
        }
    }
    let network = &request.network;
    let hosts = network.add_host.iter().flat_map(|host| {
        let address = host.address.map_or_else(|| "host-gateway".to_owned(), |address| address.to_string());
        host.names.iter().map(move |name| format!("{name}:{address}"))
    });
    json!({
        "PortBindings": ports,
        "HostNetwork": matches!(network.mode, Some(Mode::Host)),
        "DNSServer": network.dns,
        "DNSSearch": network.dns_search,
        "DNSOption": network.dns_options,
        "HostAdd": hosts.collect::<Vec<_>>(),
        "Networks": engine::networks::of(paths, infra),
    })
}

fn logs(arguments: &arguments::Logs, globals: &Globals) -> Result<(), Failure> {
    let found = one(arguments.pod.as_ref().map(ToString::to_string), &super::paths(globals)?)?;
    let own = found.own().filter_map(|listed| spec::ContainerId::parse(&listed.record.id).ok());
    let containers: Vec<spec::ContainerId> = match &arguments.container {
        Some(name) => vec![name.clone()],
        None => own.collect(),
    };
    if containers.is_empty() {
        return Ok(());
    }
    let asked = crate::cli::Logs {
        follow: arguments.follow,
        tail: arguments.tail,
        since: arguments.since,
        until: arguments.until,
        timestamps: arguments.timestamps,
        details: false,
        names: arguments.names,
        color: arguments.color,
        latest: false,
        containers,
    };
    super::logs::run(&asked, globals)
}

/// By its word, or the one that was made last.
fn one(word: Option<String>, paths: &Paths) -> Result<Found, Failure> {
    let choice = Choice { latest: word.is_none(), words: word.into_iter().collect(), ..Choice::default() };
    let words = pods::choose(paths, &choice)?;
    Ok(pods::find(paths, words.first().map(String::as_str).unwrap_or_default())?)
}

fn top(arguments: &arguments::Top, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let mut words = arguments.words.clone();
    let named = (!arguments.latest && !words.is_empty()).then(|| words.remove(0));
    let found = one(named, &paths)?;
    let (mut titles, mut processes) = (Vec::new(), Vec::new());
    for listed in found.members.iter().filter(|listed| listed.running) {
        let which = Which::Named(listed.record.id.clone());
        let top = engine::top::top(&paths, &which, &words)?;
        titles = top.titles;
        processes.extend(top.processes);
    }
    if titles.is_empty() {
        let name = &found.pod.name;
        return Err(Failure::new(format!("cannot list the processes of pod {name}")).cause("no container of it runs"));
    }
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    ui::print(&table(Some(&titles), &processes))
}

const USAGE: [Field; 10] = [
    ("Pod", "POD"),
    ("CID", "CID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE/ LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET IO"),
    ("BlockIO", "BLOCK IO"),
    ("PIDs", "PIDS"),
    (METHOD, ""),
];

const USED: [&str; 9] = ["Pod", "CID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

fn stats(arguments: &arguments::Stats, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let choice = Choice {
        words: arguments.pods.iter().map(ToString::to_string).collect(),
        all: arguments.all || arguments.pods.is_empty() && !arguments.latest,
        latest: arguments.latest,
        ignore: false,
    };
    let chosen = || {
        let found = pods::choose(&paths, &choice)?.into_iter().map(|word| pods::find(&paths, &word));
        let found: Vec<Found> = found.collect::<Result<_, _>>()?;
        let running = |found: Found| {
            let Found { pod: Pod { id, .. }, members } = found;
            members.into_iter().filter(|listed| listed.running).map(move |listed| (id.clone(), listed))
        };
        Ok(found.into_iter().flat_map(running).collect())
    };
    let look = Look {
        no_stream: arguments.no_stream,
        no_reset: arguments.no_reset,
        interval: std::time::Duration::from_secs(1),
        format: &arguments.format,
        fields: &USAGE,
        columns: &USED,
    };
    stats::again(&paths, &look, &chosen, &|pod, listed, before, now| {
        let mut row = stats::row(pod, listed, false, before, now);
        row["Pod"] = json!(super::short(pod));
        row["CID"] = row["ID"].clone();
        row[METHOD] = json!({});
        row
    })
}
