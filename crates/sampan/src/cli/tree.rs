//! The verbs and their names: one parser for a call, the whole tree for help, completions and misspelt verbs.

use super::globals::Flags;
use super::{
    Verb, archive, cp, exec, image, inspect, lifecycle, list, live, logs, manifest, network, oci, pod, push, registry,
    run, secret, update, usage, volume,
};
use crate::ui::Failure;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, Command};
use spec::unit::boolean;
use std::ffi::OsString;

/// The arguments of one verb.
pub trait Leaf: Args {
    /// Words from the root, the verb's own name first.
    const NAMES: &[&str];
    const ABOUT: &str;
    const USAGE: &str;
    /// docker's `run -h` is a host name, so there only `--help` is help.
    const SHORT_HELP: bool = true;
    /// The exit code of a usage error.
    const CODE: u8 = 1;

    /// # Errors
    /// [`Failure`] for arguments that are well formed one by one and do not go together.
    fn verb(self) -> Result<Verb, Failure>;
}

/// For verbs whose arguments are what is called, or one of the calls of a group.
macro_rules! named {
    ($verb:ident, $($rest:tt)*) => {
        named!(@ $verb, Verb::$verb, $($rest)*);
    };
    ($verb:ident of $group:ident, $($rest:tt)*) => {
        named!(@ $verb, |call| Verb::$group(Box::new(Call::$verb(call))), $($rest)*);
    };
    (@ $verb:ident, $call:expr, $names:expr, $about:literal, $usage:literal $(,)?) => {
        impl Leaf for $verb {
            const NAMES: &[&str] = &$names;
            const ABOUT: &str = $about;
            const USAGE: &str = $usage;

            fn verb(self) -> Result<Verb, Failure> {
                Ok($call(self))
            }
        }
    };
}

pub(super) use named;

struct Entry {
    names: &'static [&'static str],
    command: fn(&'static str) -> Command,
    parse: fn(Vec<OsString>) -> Result<Verb, Failure>,
}

const fn entry<L: Leaf>() -> Entry {
    Entry { names: L::NAMES, command: described::<L>, parse: parse::<L> }
}

static ENTRIES: &[Entry] = &[
    entry::<run::Args>(),
    entry::<lifecycle::Create>(),
    entry::<lifecycle::Start>(),
    entry::<lifecycle::Attach>(),
    entry::<lifecycle::Stop>(),
    entry::<lifecycle::Kill>(),
    entry::<lifecycle::Wait>(),
    entry::<lifecycle::Restart>(),
    entry::<lifecycle::Rename>(),
    entry::<lifecycle::ContainerPrune>(),
    entry::<lifecycle::HealthCheck>(),
    entry::<lifecycle::StartAll>(),
    entry::<lifecycle::StopAll>(),
    entry::<lifecycle::Enable>(),
    entry::<lifecycle::Disable>(),
    entry::<exec::Exec>(),
    entry::<cp::Cp>(),
    entry::<update::UpdateArgs>(),
    entry::<live::Pause>(),
    entry::<live::Unpause>(),
    entry::<live::TopArgs>(),
    entry::<live::Port>(),
    entry::<live::StatsArgs>(),
    entry::<list::Ps>(),
    entry::<list::Remove>(),
    entry::<logs::Logs>(),
    entry::<logs::Events>(),
    entry::<inspect::Inspect>(),
    entry::<inspect::ContainerInspect>(),
    entry::<list::ImageList>(),
    entry::<list::ImageRemove>(),
    entry::<list::ImageBootstrap>(),
    entry::<inspect::ImageInspect>(),
    entry::<registry::Pull>(),
    entry::<push::Push>(),
    entry::<registry::Login>(),
    entry::<registry::Logout>(),
    entry::<registry::Tag>(),
    entry::<registry::Untag>(),
    entry::<registry::Tags>(),
    entry::<registry::Search>(),
    entry::<manifest::ManifestCreate>(),
    entry::<manifest::ManifestAdd>(),
    entry::<manifest::ManifestAnnotate>(),
    entry::<manifest::ManifestInspect>(),
    entry::<manifest::ManifestPush>(),
    entry::<manifest::ManifestRemove>(),
    entry::<manifest::ManifestDelete>(),
    entry::<manifest::ManifestExists>(),
    entry::<image::History>(),
    entry::<image::ImageTree>(),
    entry::<image::Commit>(),
    entry::<image::Export>(),
    entry::<image::Import>(),
    entry::<image::Diff>(),
    entry::<image::ContainerDiff>(),
    entry::<image::ImageDiff>(),
    entry::<image::ImageMount>(),
    entry::<image::ImageUnmount>(),
    entry::<registry::Referrers>(),
    entry::<archive::Save>(),
    entry::<archive::Load>(),
    entry::<archive::ImagePrune>(),
    entry::<archive::SystemPrune>(),
    entry::<archive::DiskUsage>(),
    entry::<archive::Check>(),
    entry::<list::Doctor>(),
    entry::<network::Create>(),
    entry::<network::List>(),
    entry::<network::Inspect>(),
    entry::<network::Remove>(),
    entry::<network::Prune>(),
    entry::<network::Exists>(),
    entry::<pod::Create>(),
    entry::<pod::List>(),
    entry::<pod::Inspect>(),
    entry::<pod::Exists>(),
    entry::<pod::Start>(),
    entry::<pod::Stop>(),
    entry::<pod::RestartPods>(),
    entry::<pod::Kill>(),
    entry::<pod::Pause>(),
    entry::<pod::Unpause>(),
    entry::<pod::Remove>(),
    entry::<pod::Prune>(),
    entry::<pod::Logs>(),
    entry::<pod::Top>(),
    entry::<pod::Stats>(),
    entry::<secret::Create>(),
    entry::<secret::List>(),
    entry::<secret::Inspect>(),
    entry::<secret::Remove>(),
    entry::<secret::Exists>(),
    entry::<volume::VolumeCreate>(),
    entry::<volume::VolumeList>(),
    entry::<volume::VolumeInspect>(),
    entry::<volume::VolumeRemove>(),
    entry::<volume::VolumePrune>(),
    entry::<volume::VolumeExists>(),
    entry::<volume::VolumeExport>(),
    entry::<volume::VolumeImport>(),
    entry::<network::Connect>(),
    entry::<network::Disconnect>(),
    entry::<network::Reload>(),
    entry::<network::Update>(),
    entry::<list::Info>(),
    entry::<list::Version>(),
    entry::<list::Completion>(),
    Entry { names: &["oci"], command: oci::command, parse: oci::parse },
];

/// What the words from the verb on mean.
///
/// # Errors
/// [`Failure`] for an unknown verb, and what [`Leaf::verb`] and the verb's flags refuse.
pub fn verb(mut words: Vec<OsString>) -> Result<Verb, Failure> {
    let helps = words.first().is_some_and(|word| word == "help");
    if helps {
        words.remove(0);
    }
    if words.is_empty() {
        return Ok(Verb::Help(help()));
    }
    let Some((entry, length)) = find(&words) else {
        return unknown(words);
    };
    let rest = if helps { vec!["--help".into()] } else { words.split_off(length) };
    (entry.parse)(rest)
}

/// The entry that the words start with, and how many words its name has.
fn find(words: &[OsString]) -> Option<(&'static Entry, usize)> {
    let named = |name: &str| name.split(' ').count() <= words.len() && name.split(' ').zip(words).all(|(a, b)| b == a);
    ENTRIES.iter().find_map(|entry| {
        let name = entry.names.iter().find(|name| named(name))?;
        Some((entry, name.split(' ').count()))
    })
}

/// clap knows the nearest verb, and the help of a group.
fn unknown(words: Vec<OsString>) -> Result<Verb, Failure> {
    let group = GROUPS.iter().find(|(name, _)| words.first().is_some_and(|word| word == name));
    let call = group.map_or("sampan".into(), |(name, _)| format!("sampan {name}"));
    match tree().try_get_matches_from(std::iter::once("sampan".into()).chain(words)) {
        Err(error) if shows_help(&error) => Ok(Verb::Help(error.render().to_string())),
        Err(error) => Err(usage::failure(&error, &call).code(1)),
        Ok(_) => Ok(Verb::Help(help())),
    }
}

fn shows_help(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)
}

fn parse<L: Leaf>(words: Vec<OsString>) -> Result<Verb, Failure> {
    let name = L::NAMES.first().copied().unwrap_or_default();
    // Texts for people are only attached where they are printed.
    let matches = leaf::<L>(name, L::SHORT_HELP).try_get_matches_from(std::iter::once("sampan".into()).chain(words));
    match matches.and_then(|matches| L::from_arg_matches(&matches)) {
        Ok(arguments) => arguments.verb().map_err(|failure| coded(failure, L::CODE)),
        Err(error) if shows_help(&error) => Ok(Verb::Help(described::<L>(name).render_help().to_string())),
        Err(error) => Err(usage::failure(&error, &format!("sampan {name}")).code(L::CODE)),
    }
}

fn coded(failure: Failure, code: u8) -> Failure {
    let code = failure.code.unwrap_or(code);
    failure.code(code)
}

/// For people: with texts, and switches without the `=false` that they take as well.
fn described<L: Leaf>(name: &'static str) -> Command {
    plain::<L>(name, L::SHORT_HELP).about(L::ABOUT).override_usage(L::USAGE)
}

/// A parser with docker's habits: flags end at the first word that is none; a flag's value may start with a dash; a
/// flag given twice counts as the last; `--flag=false` switches off.
pub fn leaf<A: Args>(name: &'static str, short_help: bool) -> Command {
    plain::<A>(name, short_help).args_override_self(true).mut_args(habits)
}

fn plain<A: Args>(name: &'static str, short_help: bool) -> Command {
    let command = A::augment_args(Command::new(name).disable_help_flag(true).disable_version_flag(true));
    if command.get_arguments().any(|arg| arg.get_id() == "help") { command } else { command.arg(help_flag(short_help)) }
}

fn help_flag(short: bool) -> Arg {
    let help = Arg::new("help").long("help").action(ArgAction::Help).help("Print help");
    if short { help.short('h') } else { help }
}

fn habits(arg: Arg) -> Arg {
    match arg.get_action() {
        _ if arg.is_positional() => arg,
        ArgAction::SetTrue => {
            let switch = arg.action(ArgAction::Set).num_args(0..=1).require_equals(true);
            let switch = switch.default_missing_value("true").value_parser(boolean);
            if switch.get_default_values().is_empty() { switch.default_value("false") } else { switch }
        }
        ArgAction::Set | ArgAction::Append => arg.allow_hyphen_values(true),
        _ => arg,
    }
}

const GROUPS: [(&str, &str); 9] = [
    ("healthcheck", "Health checks of containers"),
    ("container", "Containers"),
    ("image", "Images"),
    ("manifest", "Manifests and indexes of images"),
    ("network", "Networks"),
    ("pod", "Pods"),
    ("secret", "Secrets"),
    ("system", "This machine"),
    ("volume", "Volumes"),
];

/// All verbs. A verb's second name in the same group is taken, not shown.
pub fn tree() -> Command {
    let mut root = plain::<Flags>("sampan", true).about("Containers without a daemon").subcommand_required(true);
    let mut groups = GROUPS.map(|(name, about)| {
        let group = Command::new(name).about(about).arg(help_flag(true));
        group.subcommand_required(true).arg_required_else_help(true)
    });
    for entry in ENTRIES {
        let mut shown = Vec::new();
        for name in entry.names {
            let (group, verb) = name.split_once(' ').unwrap_or(("", name));
            let command = (entry.command)(verb).hide(shown.contains(&group));
            shown.push(group);
            match groups.iter_mut().find(|known| known.get_name() == group) {
                Some(known) => *known = std::mem::take(known).subcommand(command),
                None => root = root.subcommand(command),
            }
        }
    }
    root.subcommands(groups).disable_help_subcommand(true)
}

pub fn help() -> String {
    tree().override_usage("sampan [OPTIONS] COMMAND [ARG...]").render_help().to_string()
}
