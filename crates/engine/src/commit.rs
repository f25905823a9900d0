//! Images out of containers and of root file systems in a tar.

use crate::containers::{self, Record, Which};
use crate::error::{Error, Result};
use crate::events::{self, Kind, News};
use crate::images::{collect, parse, which};
use crate::paths::Paths;
use crate::remote::{self, Access, Task};
use crate::request::change::{self, Changes};
use crate::request::{Platform, Run};
use crate::{pause, snapshot};
use image::Store;
use image::difference::Own;
use serde::{Deserialize, Serialize};
use spec::Reference;
use spec::image::{Descriptor, Empty, Execution, History, ImageConfig};
use std::io::Read;
use std::path::PathBuf;

/// What an image is to say of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    pub changes: Vec<Changes>,
    pub message: String,
    pub author: String,
}

/// The configuration of a container of that image, as an image has it: what was asked for when it was run, and else the
/// image's.
pub(crate) fn configured(request: &Run, image: &Execution) -> Execution {
    let mut execution = image.clone();
    let process = &request.process;
    if let Some(entrypoint) = &process.entrypoint {
        execution.entrypoint.clone_from(entrypoint);
        execution.cmd.clear();
    }
    if !process.command.is_empty() {
        execution.cmd.clone_from(&process.command);
    }
    for variable in &process.env {
        match &variable.value {
            Some(value) => change::set(&mut execution.env, &variable.name, value),
            None => execution.env.retain(|line| line.split('=').next() != Some(&variable.name)),
        }
    }
    if let Some(user) = &process.user {
        let group = user.group.as_ref().map(|group| format!(":{group}")).unwrap_or_default();
        execution.user = format!("{}{group}", user.user);
    }
    if let Some(workdir) = &process.workdir {
        execution.working_dir.clone_from(workdir);
    }
    if let Some(signal) = request.stop.signal {
        execution.stop_signal = signal.to_string();
    }
    let exposed = request.network.expose.iter().map(|expose| (expose.ports, expose.protocol));
    let published = request.network.publish.iter().map(|publish| (publish.container, publish.protocol));
    for (ports, protocol) in exposed.chain(published) {
        execution.exposed_ports.extend(ports.iter().map(|port| (format!("{port}/{protocol}"), Empty {})));
    }
    // One that is given goes before the image's of that name.
    execution.labels.extend(request.labels.iter().cloned());
    execution
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Commit {
    /// `None`: it gets none.
    name: Option<String>,
    /// The image that the container stands on.
    base: Descriptor,
    own: Option<Own>,
    /// Top first.
    lower: Vec<PathBuf>,
    ids: image::Ids,
    execution: Execution,
    author: String,
    history: History,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Import {
    name: Option<String>,
    config: ImageConfig,
}

/// As the child says it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    id: String,
    moved: bool,
}

/// An image of a container: its image's layers, and one of what it changed. The id. `pause`: nothing in it changes meanwhile.
///
/// # Errors
/// No such container; it cannot be paused; it stands on no image, or on one that is not here any more.
pub fn commit(paths: &Paths, container: &Which, name: Option<&str>, words: &Words, pause: bool) -> Result<String> {
    let name = name.map(target).transpose()?;
    let found = containers::which(paths, container)?;
    let record = found.record.clone();
    let refuse = |why: &str| Error::rejected(format!("cannot commit container {}", record.name), why);
    let told = News::of(&record, "commit").with("comment", &words.message);
    let (Some(top), true) = (record.layers.first(), record.layers.iter().all(|layer| layer.starts_with(&paths.data)))
    else {
        return Err(
            refuse("it stands on no image").hint("sampan export writes its files, and import makes an image of them")
        );
    };
    let base = base(&Store::open(&paths.data), &record, top)?.ok_or_else(|| {
        refuse("the image that it stands on is not in the store any more").hint(format!("sampan pull {}", record.image))
    })?;
    let mut execution = record.config;
    words.changes.iter().for_each(|change| change.apply(&mut execution));
    let history = History {
        created: Some(jiff::Timestamp::now().to_string()),
        created_by: record.command.join(" "),
        author: words.author.clone(),
        comment: words.message.clone(),
        empty_layer: false,
    };
    let task = Commit {
        name: name.as_ref().map(Reference::to_string),
        base,
        own: snapshot::own(paths, &record.id),
        lower: record.layers,
        ids: record.ids,
        execution,
        author: words.author.clone(),
        history,
    };
    let put = || self::put(paths, Task::Commit(Box::new(task)), None);
    let id = if pause && found.running { pause::during(paths, &found, put)? } else { put()? };
    let name = name.map_or_else(|| id.clone(), |name| name.familiar());
    events::tell(paths, [told.with("imageID", &id).with("imageRef", name)]);
    Ok(id)
}

/// The image of which that is the top layer: the container's own, if it is still there, or one that has the same.
fn base(store: &Store, record: &Record, top: &std::path::Path) -> Result<Option<Descriptor>> {
    let mut all = store.list()?;
    let name = |listed: &image::Listed| which::name(&listed.entry).map(|name| name.familiar());
    all.sort_by_key(|listed| (listed.id.to_string() != record.image_id, name(listed).as_ref() != Some(&record.image)));
    for listed in all {
        if store.stands_on(&store.stored(&listed.entry)?, top) {
            return Ok(Some(listed.entry));
        }
    }
    Ok(None)
}

/// In the child.
pub(crate) fn commit_in(store: &Store, task: Commit) -> Result<Put, image::Error> {
    let name = task.name.as_deref().map(named).transpose()?;
    let changed = image::commit::Changed { own: task.own.as_ref(), lower: &task.lower, ids: &task.ids };
    let change = |config: &mut ImageConfig| {
        config.created.clone_from(&task.history.created);
        config.author = (!task.author.is_empty()).then(|| task.author.clone()).or(config.author.take());
        config.config = task.execution.clone();
        config.history.push(task.history.clone());
    };
    let put = image::commit::commit(store, &task.base, &changed, name.as_ref(), change)?;
    Ok(Put { id: put.id.to_string(), moved: put.moved })
}

/// An image of one layer, of the files in a tar, which may be packed with gzip or zstd. The id.
///
/// # Errors
/// It is no tar, or one of an attacker's making.
pub fn import(
    paths: &Paths,
    from: &mut dyn Read,
    name: Option<&str>,
    platform: Option<&Platform>,
    words: &Words,
) -> Result<String> {
    paths.ensure()?;
    let name = name.map(target).transpose()?;
    let created = Some(jiff::Timestamp::now().to_string());
    let mut config = ImageConfig {
        created: created.clone(),
        author: (!words.author.is_empty()).then(|| words.author.clone()),
        platform: platform.map_or_else(spec::image::Platform::native, Platform::of_image),
        ..ImageConfig::default()
    };
    words.changes.iter().for_each(|change| change.apply(&mut config.config));
    config.history.push(History { created, comment: words.message.clone(), ..History::default() });
    let import = Import { name: name.as_ref().map(Reference::to_string), config };
    let id = put(paths, Task::Import(Box::new(import)), Some(from))?;
    let name = name.map_or_else(|| id.clone(), |name| name.familiar());
    events::tell(paths, [News::new(Kind::Image, "import", &id).with("name", name)]);
    Ok(id)
}

/// In the child.
pub(crate) fn import_in(store: &Store, task: Import, from: &mut dyn Read) -> Result<Put, image::Error> {
    let name = task.name.as_deref().map(named).transpose()?;
    let put = image::commit::import(store, from, name.as_ref(), task.config)?;
    Ok(Put { id: put.id.to_string(), moved: put.moved })
}

fn put(paths: &Paths, task: Task, input: Option<&mut (dyn Read + '_)>) -> Result<String> {
    let put: Put = remote::call_with(paths, &Access::default(), task, input, &mut |_| {})?;
    if put.moved {
        collect(paths)?;
    }
    Ok(put.id)
}

/// A name that an image can get.
fn target(name: &str) -> Result<Reference> {
    let target = parse(name)?;
    if target.digest().is_some() {
        return Err(Error::rejected(
            format!("cannot name an image {name}"),
            "its digest is not known before it is made",
        ));
    }
    Ok(target)
}

fn named(name: &str) -> Result<Reference, image::Error> {
    let bad = |error: spec::reference::BadReference| {
        image::Error::new(image::Kind::Unsupported, format!("cannot use image {name:?}"), error.to_string())
    };
    name.parse().map_err(bad)
}
