//! `sampan ps`: the table.

use super::list::List;
use crate::cli::{Format, Globals, Ps};
use crate::template::{Field, METHOD};
use crate::ui::{self, Failure, Ui};
use engine::containers::{Listed, Mounted};
use engine::health::Status;
use engine::inspect::Size;
use engine::port::Mapping;
use engine::state::State;
use serde_json::{Value, json};
use spec::unit::decimal;
use std::collections::{BTreeMap, BTreeSet};

/// What a line says about a container.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub id: String,
    pub image: String,
    pub command: Vec<String>,
    /// Seconds since the epoch.
    pub created: u64,
    /// `created`, `running`, `exited` …
    pub state: String,
    /// `Up 3 minutes`, `Exited (0) 2 hours ago`
    pub status: String,
    pub ports: String,
    pub name: String,
    pub pod: engine::pods::Member,
    pub image_id: String,
    /// Seconds since the epoch; 0 until then.
    pub started: u64,
    pub finished: u64,
    pub labels: BTreeMap<String, String>,
    /// What of the host is mounted in it.
    pub mounts: Vec<String>,
    /// Where in it.
    pub targets: Vec<String>,
    pub published: Vec<Mapping>,
    /// It goes when it has ended.
    pub remove: bool,
    pub volumes: usize,
    pub pid: i32,
    pub exit_code: u8,
    pub restarts: u32,
    /// Why it ended, where that is more than its code.
    pub reason: String,
    /// Only where it is asked for.
    pub networks: Vec<String>,
    /// Only where it is asked for: it is found by a look at all of its files.
    pub size: Option<Size>,
}

const FIELDS: [Field; 22] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("CreatedAt", "CREATED AT"),
    ("State", "STATE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("Size", "SIZE"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Pid", "PID"),
    ("ExitCode", "EXIT CODE"),
    ("Restarts", "RESTARTS"),
    ("Reason", "REASON"),
    ("Pod", "POD ID"),
    ("PodID", "POD ID"),
    ("PodName", "PODNAME"),
    (METHOD, ""),
];

const COLUMNS: [&str; 7] = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];

impl Row {
    /// docker's keys, all values texts but that of [`METHOD`].
    pub fn object(&self, whole: bool) -> Value {
        let labels: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mounts: Vec<String> =
            self.mounts.iter().map(|path| cut(path, if whole { usize::MAX } else { 15 })).collect();
        let size = |size: Size| format!("{} (virtual {})", decimal(size.own, 3), decimal(size.root, 3));
        json!({
            "ID": if whole { &self.id } else { super::short(&self.id) },
            "Image": self.image,
            "Command": format!("\"{}\"", cut(&self.command.join(" "), if whole { usize::MAX } else { 18 })),
            "RunningFor": ago(super::seconds_since(self.created)),
            "CreatedAt": engine::time::date(self.created),
            "Status": self.status,
            "State": self.state,
            "Ports": self.ports,
            "Names": self.name,
            "Labels": labels.join(","),
            "Mounts": mounts.join(","),
            "Networks": self.networks.join(","),
            // docker's for what was not asked for.
            "Size": self.size.map_or_else(|| "0B".to_owned(), size),
            "LocalVolumes": self.volumes.to_string(),
            "Pid": self.pid.to_string(),
            "ExitCode": self.exit_code.to_string(),
            "Restarts": self.restarts.to_string(),
            "Reason": self.reason,
            "Pod": if whole { &self.pod.id } else { super::short(&self.pod.id) },
            "PodID": if whole { &self.pod.id } else { super::short(&self.pod.id) },
            "PodName": self.pod.name,
            METHOD: self.labels,
        })
    }

    /// podman's keys and kinds of values, of what is known here.
    fn podman(&self) -> Value {
        let size = self.size.map(|size| json!({ "rootFsSize": size.root, "rwSize": size.own }));
        json!({
            "AutoRemove": self.remove,
            "Command": self.command,
            "Created": self.created,
            "CreatedAt": ago(super::seconds_since(self.created)),
            "ExitCode": self.exit_code,
            "Exited": self.state == State::Exited.word(),
            "ExitedAt": self.finished,
            "Id": self.id,
            "Image": self.image,
            "ImageID": self.image_id,
            "IsInfra": self.pod.infra,
            "Labels": self.labels,
            "Mounts": self.targets,
            "Names": [self.name],
            "Networks": self.networks,
            "Pid": self.pid,
            "Pod": self.pod.id,
            "PodName": self.pod.name,
            "Ports": self.published.iter().filter_map(published).collect::<Vec<_>>(),
            "Restarts": self.restarts,
            "Size": size,
            "StartedAt": self.started,
            "State": self.state,
            "Status": self.status,
        })
    }
}

/// # Errors
/// [`Failure`] when the output cannot be written.
pub fn run(arguments: &Ps, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let last = if arguments.latest { Some(1) } else { arguments.last };
    let listed = engine::containers::select(&paths, &arguments.filter, arguments.all || last.is_some())?;
    let listed: Vec<Listed> = listed.into_iter().take(last.unwrap_or(usize::MAX)).collect();
    // podman goes on with the name.
    let renamed = if globals.podman { BTreeSet::new() } else { engine::images::renamed(&paths, &listed)? };
    let sized = |listed: Listed| {
        let size = arguments.size.then(|| engine::inspect::size(&paths, &listed));
        // The table has no column for it.
        let networks = match arguments.format {
            Format::Table => Vec::new(),
            Format::Json | Format::Template(_) => engine::networks::of(&paths, &listed),
        };
        let row = row(listed);
        // As docker: what has the name now is another image.
        let image = if renamed.contains(&row.id) { super::short(&row.image_id).to_owned() } else { row.image.clone() };
        Row { size, networks, image, ..row }
    };
    let rows: Vec<Row> = listed.into_iter().map(sized).collect();
    if globals.podman && arguments.format == Format::Json {
        let all: Vec<Value> = rows.iter().map(Row::podman).collect();
        return ui::print(&format!("{:#}\n", Value::Array(all)));
    }
    ui::print(&text(arguments, &rows)?)
}

pub fn row(listed: Listed) -> Row {
    let (state, status, reason) = (State::of(&listed), status(&listed), engine::state::reason(&listed.record));
    let record = listed.record;
    let published = engine::port::mappings(&record);
    Row {
        published,
        id: record.id,
        image: record.image,
        image_id: record.image_id,
        started: record.started,
        finished: record.finished,
        command: record.command,
        created: record.created.seconds(),
        state: state.word().to_owned(),
        status,

        ports: record.ports.join(", "),
        remove: record.remove,
        targets: record.mounts.iter().map(|mounted| mounted.mount.target.clone()).collect(),
        name: record.name,
        pod: record.pod.unwrap_or_default(),
        labels: record.config.labels,
        volumes: record.mounts.iter().filter(|mounted| mounted.volume().is_some()).count(),
        mounts: record.mounts.iter().map(mounted).filter(|source| !source.is_empty()).collect(),
        pid: if listed.running { record.pid } else { 0 },
        exit_code: record.exit_code.unwrap_or(0),
        restarts: record.restarts,
        reason,
        networks: Vec::new(),
        size: None,
    }
}

/// `0.0.0.0:8080` and `80/tcp`, in podman's form.
fn published(mapping: &Mapping) -> Option<Value> {
    let (address, outside) = mapping.outside.rsplit_once(':')?;
    let (inside, protocol) = mapping.inside.split_once('/')?;
    let (first, range) = range(outside)?;
    Some(json!({
        "host_ip": if address == "0.0.0.0" { "" } else { address.trim_matches(['[', ']']) },
        "container_port": self::range(inside)?.0,
        "host_port": first,
        "range": range,
        "protocol": protocol,
    }))
}

/// Its first port, and how many there are: of `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    Some((first, u32::from(last.checked_sub(first)?) + 1))
}

/// A volume's name, or what of the host it is.
fn mounted(mounted: &Mounted) -> String {
    mounted.volume().unwrap_or(&mounted.source).to_owned()
}

/// In docker's words.
fn status(listed: &Listed) -> String {
    let record = &listed.record;
    let up = || format!("Up {}", spec::unit::rough(super::seconds_since(record.started)));
    let ended = || {
        let (code, since) = (record.exit_code.unwrap_or(0), super::seconds_since(record.finished));
        format!("({code}) {}", ago(since))
    };
    match State::of(listed) {
        State::Created => "Created".to_owned(),
        State::Running => up() + &health(listed),
        State::Paused => format!("{} (Paused)", up()),
        State::Restarting => format!("Restarting {}", ended()),
        State::Removing => "Removal In Progress".to_owned(),
        State::Exited => format!("Exited {}", ended()),
        State::Dead => "Dead".to_owned(),
    }
}

fn health(listed: &Listed) -> String {
    let status = listed.record.health.as_ref().map(|health| health.status);
    status.map_or(String::new(), |status| match status {
        Status::Starting => " (health: starting)".to_owned(),
        status => format!(" ({})", status.word()),
    })
}

/// docker's `2 hours ago`.
pub fn ago(seconds: u64) -> String {
    format!("{} ago", spec::unit::rough(seconds))
}

/// At most `width` characters, the last an ellipsis if something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.into() } else { text.chars().take(width - 1).chain(['…']).collect() }
}

fn text(arguments: &Ps, rows: &[Row]) -> Result<String, Failure> {
    let rows: Vec<Value> = rows.iter().map(|row| row.object(arguments.no_trunc)).collect();
    let quiet = arguments.quiet.then_some("ID");
    let pod: &[&str] = if arguments.pod { &["PodID", "PodName"] } else { &[] };
    let size: &[&str] = if arguments.size { &["Size"] } else { &[] };
    let columns = [&COLUMNS, pod, size].concat();
    let list = List { fields: &FIELDS, columns: &columns, rows: &rows, quiet, heading: !arguments.noheading };
    list.text(&arguments.format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    fn row() -> Row {
        Row {
            id: "0123456789abcdef".into(),
            image: "busybox".into(),
            command: vec!["sh".into(), "-c".into(), "sleep 100000000".into()],
            created: super::super::now() - 180,
            state: "running".into(),
            status: "Up 3 minutes".into(),
            ports: "0.0.0.0:8080->80/tcp".into(),
            name: "web".into(),
            labels: [("a.my-b".to_owned(), "c".to_owned()), ("d".to_owned(), String::new())].into(),
            mounts: vec!["/srv".into(), "/a-directory-with-a-long-name".into()],
            size: Some(Size { own: 12_345, root: 2_063_253 }),
            ..Row::default()
        }
    }

    #[test]
    fn prints_as_docker() {
        let arguments = Ps::default();
        let table = "\
CONTAINER ID   IMAGE     COMMAND                CREATED         STATUS         PORTS                  NAMES
0123456789ab   busybox   \"sh -c sleep 10000…\"   3 minutes ago   Up 3 minutes   0.0.0.0:8080->80/tcp   web
";
        let print = |arguments: &Ps| text(arguments, &[row()]).unwrap();
        assert_eq!(print(&arguments), table);
        assert_eq!(print(&Ps { quiet: true, ..arguments.clone() }), "0123456789ab\n");
        let sized = print(&Ps { size: true, ..arguments.clone() });
        assert!(
            sized.ends_with("web       12.3kB (virtual 2.06MB)\n") && sized.contains("NAMES     SIZE\n"),
            "{sized}"
        );
        let json = print(&Ps { format: Format::Json, no_trunc: true, ..arguments.clone() });
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["ID"], &value["State"]), (&"0123456789abcdef".into(), &"running".into()));
        assert_eq!((&value["Labels"], &value[METHOD]), (&"a.my-b=c,d=".into(), &Value::Null));
        assert_eq!(value["Command"], "\"sh -c sleep 100000000\"");
    }

    #[test]
    fn podmans_object_has_its_kinds_of_values() {
        let mapping = |outside: &str| Mapping { inside: "80/tcp".into(), outside: outside.into() };
        let published = vec![mapping("0.0.0.0:8080"), mapping("[::1]:90-92")];
        let object = Row { published, ..row() }.podman();
        assert_eq!((&object["Names"], &object["Labels"]), (&json!(["web"]), &json!({ "a.my-b": "c", "d": "" })));
        assert_eq!((&object["Exited"], &object["Id"]), (&false.into(), &"0123456789abcdef".into()));
        let port = |ip: &str, first: u16, range: u16| {
            let to = json!({ "container_port": 80, "protocol": "tcp" });
            let mut all = json!({ "host_ip": ip, "host_port": first, "range": range });
            all.as_object_mut().unwrap().extend(to.as_object().unwrap().clone());
            all
        };
        assert_eq!(object["Ports"], json!([port("", 8080, 1), port("::1", 90, 3)]));
    }

    #[test]
    fn templates_have_dockers_fields() {
        let print = |format: &str| text(&Ps { format: format.parse().unwrap(), ..Ps::default() }, &[row()]).unwrap();
        assert_eq!(print("{{.Names}} {{.Label \"a.my-b\"}}{{.Label \"none\"}}"), "web c\n");
        assert_eq!(print("table {{.Names}}\\t{{.Label \"a.my-b\"}}"), "NAMES     my b\nweb       c\n");
        assert_eq!(print("{{.Mounts}} {{.Size}}"), "/srv,/a-directory-w… 12.3kB (virtual 2.06MB)\n");
        assert_eq!(print("{{json .Labels}}"), "\"a.my-b=c,d=\"\n");
        assert_eq!(print("{{json .}} "), print("json").replace('\n', " \n"));
        for (name, _) in FIELDS {
            assert!(!row().object(false)[name].is_null(), "{name}");
        }
    }
}
