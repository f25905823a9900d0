//! The command line: from words to one [`Call`], or to a message.
//!
//! Invariant: nothing is touched; files named by `--env-file` and `--label-file` are read, the environment and the
//! working directory are looked at. Only the parser of the verb that was called is built: a full tree costs more than
//! a millisecond, which every start would pay.

mod archive;
mod cp;
mod exec;
mod globals;
mod image;
mod inspect;
mod lifecycle;
mod list;
mod live;
mod logs;
pub mod manifest;
pub mod network;
pub mod oci;
pub mod pod;
mod push;
mod registry;
mod run;
pub mod secret;
mod select;
mod tree;
mod update;
mod usage;
mod volume;

pub use archive::{Check, DiskUsage, Form, ImagePrune, Load, Save, SystemPrune};
pub use clap_complete::Shell;
pub use globals::{Globals, storage_driver};
pub use image::{Commit, ContainerDiff, Diff, Export, History, ImageDiff, ImageMount, ImageTree, ImageUnmount, Import};
pub use inspect::{ContainerInspect, ImageInspect, Inspect, Object};
pub use lifecycle::{
    Attach, ContainerPrune, Disable, Enable, HealthCheck, Kill, Rename, Restart, Start, StartAll, Stop, StopAll, Wait,
};
pub use list::{Doctor, Format, ImageBootstrap, ImageList, ImageRemove, Info, Ps, Remove, Version, format};
pub use live::{Port, Selected, Stats, Top};
pub use logs::{Events, Logs};
pub use push::{Outgoing, Push};
pub use registry::{Login, Logout, Pull, Referrers, Search, Sought, Tag, Tags, Untag};
pub use select::one;
pub use tree::tree;
pub use volume::{
    VolumeCreate, VolumeExists, VolumeExport, VolumeImport, VolumeInspect, VolumeList, VolumePrune, VolumeRemove,
};

use crate::ui::Failure;
use engine::request;
use std::ffi::OsString;
use std::path::Path;

/// One call of the program.
#[derive(Debug)]
pub struct Call {
    pub globals: Globals,
    pub verb: Verb,
}

#[derive(Debug)]
pub enum Verb {
    Run(Box<request::Run>),
    Exec(Box<engine::exec::Exec>),
    /// Whether to say nothing, and where to, as it was written.
    Cp(engine::copy::Copy, bool, String),
    Update(Box<engine::update::Update>, Vec<engine::containers::Which>),
    Pause(Selected),
    Unpause(Selected),
    Top(Top),
    Port(Port),
    Stats(Stats),
    Create(Box<request::Run>),
    Start(Start),
    Attach(Attach),
    Stop(Stop),
    Kill(Kill),
    Wait(Wait),
    Restart(Restart),
    Rename(Rename),
    ContainerPrune(ContainerPrune),
    HealthCheck(HealthCheck),
    StartAll(StartAll),
    StopAll(StopAll),
    Enable(Enable),
    Disable(Disable),
    Ps(Ps),
    Remove(Remove),
    ImageBootstrap(ImageBootstrap),
    ImageList(ImageList),
    ImageRemove(ImageRemove),
    ImageInspect(ImageInspect),
    Pull(Pull),
    Push(Box<Push>),
    Login(Login),
    Logout(Logout),
    Tag(Tag),
    Untag(Untag),
    Tags(Tags),
    Search(Search),
    Manifest(Box<manifest::Manifest>),
    Logs(Logs),
    Events(Events),
    Inspect(Inspect),
    ContainerInspect(ContainerInspect),
    History(History),
    ImageTree(ImageTree),
    Commit(Commit),
    Export(Export),
    Import(Import),
    Diff(Diff),
    ContainerDiff(ContainerDiff),
    ImageDiff(ImageDiff),
    ImageMount(ImageMount),
    ImageUnmount(ImageUnmount),
    Referrers(Referrers),
    Save(Save),
    Load(Load),
    ImagePrune(ImagePrune),
    SystemPrune(SystemPrune),
    DiskUsage(DiskUsage),
    Check(Check),
    Doctor(Doctor),
    VolumeCreate(VolumeCreate),
    VolumeList(VolumeList),
    VolumeInspect(VolumeInspect),
    VolumeRemove(VolumeRemove),
    VolumePrune(VolumePrune),
    VolumeExists(VolumeExists),
    VolumeExport(VolumeExport),
    VolumeImport(VolumeImport),
    Version(Version),
    Info(Info),
    Network(Box<network::Call>),
    Pod(Box<pod::Call>),
    Secret(Box<secret::Call>),
    Completion(Shell),
    Oci(Box<oci::Call>),
    /// Text to print.
    Help(String),
}

impl Verb {
    /// Whether the user asked for as few words as possible.
    #[must_use]
    pub fn quiet(&self) -> bool {
        matches!(self, Self::Run(request) | Self::Create(request) if request.quiet)
    }
}

/// By a link of podman's name.
pub fn is_podman(arguments: &[OsString]) -> bool {
    arguments.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "podman"))
}

/// The words after the program's name; what that stands for is one of them where it is called `sampan-oci`.
pub fn words(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let name = arguments.next().unwrap_or_default();
    let verb = Path::new(&name).file_name().is_some_and(|name| name == oci::NAME).then(|| "oci".into());
    verb.into_iter().chain(arguments).collect()
}

/// # Errors
/// [`Failure`] for anything that is not a call of a verb with the arguments it takes; exit code 125 for `run`, as
/// docker, and 1 for the others.
pub fn parse(words: Vec<OsString>) -> Result<Call, Failure> {
    let (globals, words) = match words.first() {
        Some(first) if first.as_encoded_bytes().starts_with(b"-") => match globals::leading(words)? {
            globals::Leading::Globals(globals, words) => (*globals, words),
            globals::Leading::Verb(verb) => {
                return Ok(Call { globals: Globals::default(), verb: *verb });
            }
        },
        _ => (Globals::default(), words),
    };
    let verb = tree::verb(words)?;
    Ok(Call { globals, verb })
}

#[cfg(test)]
mod tests;
