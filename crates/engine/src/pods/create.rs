//! Making pods, and containers in them.

use super::{Member, Pod, Share, file, find, hold, remove, tell_of};
use crate::control::Stop;
use crate::durable;
use crate::error::{Error, Result};
use crate::paths::{Paths, cannot_use};
use crate::request::network::Mode;
use crate::request::{Join, Restart, Rootfs, Run, User, security};
use crate::run::{self, Notice};
use crate::start;
use crate::time::Moment;
use spec::ContainerId;
use spec::image::Annotations;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Create {
    pub name: Option<ContainerId>,
    pub labels: Annotations,
    /// `None`: it is a name for containers that share nothing.
    pub infra: Option<Infra>,
    pub restart: Restart,
    /// A pod of this name goes first.
    pub replace: bool,
    /// By which it is made.
    pub command: Vec<String>,
}

/// Its container that holds namespaces.
#[derive(Debug, Clone, Default)]
pub struct Infra {
    pub name: Option<ContainerId>,
    pub shares: Vec<Share>,
    /// Its network, names, ports and namespaces.
    pub request: Run,
}

/// # Errors
/// Everything that is wrong with it; then nothing is left.
pub fn create(paths: &Paths, asked: &Create, tell: &mut dyn FnMut(Notice)) -> Result<Pod> {
    paths.ensure()?;
    let id = run::id()?;
    let name = asked.name.as_ref().map_or_else(|| crate::names::pick(&id), ToString::to_string);
    if asked.replace && find(paths, &name).is_ok() {
        remove(paths, &name, Some(Stop::default()))?;
    }
    let _held = hold(paths)?;
    if file(paths, &name).exists() {
        return Err(Error::rejected(format!("cannot make pod {name}"), "there is a pod of that name already")
            .hint(format!("sampan pod rm {name}, or use --replace")));
    }
    let mut pod = Pod {
        id,
        name,
        created: Moment::now(),
        labels: asked.labels.clone(),
        restart: asked.restart,
        command: asked.command.clone(),
        ..Pod::default()
    };
    if let Some(infra) = &asked.infra {
        pod.shares = shares(infra);
        pod.infra = Some(start::create(&holder(infra, &pod)?, paths, tell)?);
    }
    if let Err(error) = save(paths, &pod) {
        if let Some(infra) = &pod.infra {
            crate::containers::take_out(paths, infra, true, true)?;
        }
        return Err(error);
    }
    tell_of(paths, &pod, "create");
    Ok(pod)
}

/// What belongs to a user namespace of the infra container's own, only who is in that may enter (setns(2)).
fn shares(infra: &Infra) -> Vec<Share> {
    let names = &infra.request.namespaces;
    let mapped = !names.uid_map.is_empty() || !names.gid_map.is_empty();
    let own = mapped || !matches!(names.user, None | Some(User::Host));
    let user = (own && !infra.shares.is_empty()).then_some(Share::User);
    infra.shares.iter().copied().chain(user).collect()
}

/// No program, no rights, and nothing to write to.
fn holder(infra: &Infra, pod: &Pod) -> Result<Run> {
    let short = pod.id.get(..12).unwrap_or(&pod.id);
    let name = match &infra.name {
        Some(name) => name.clone(),
        None => ContainerId::parse(&format!("{short}-infra"))
            .map_err(|error| Error::rejected("cannot name the infra container", error.to_string()))?,
    };
    let mut request = infra.request.clone();
    request.rootfs = Rootfs::Nothing;
    request.name = Some(name);
    request.pod = Some(Member { id: pod.id.clone(), name: pod.name.clone(), infra: true });
    request.files.read_only = true;
    request.security.cap_drop = vec![security::Capability::All];
    request.security.no_new_privileges = true;
    request.log = crate::request::Log::none();
    // As podman: the pod's name, where that can be a host name.
    let plain = infra.shares.contains(&Share::Uts) && request.namespaces.uts == Join::Private;
    if plain && request.network.hostname.is_none() && !matches!(request.network.mode, Some(Mode::Host)) {
        request.network.hostname = crate::request::network::hostname(&pod.name).ok();
    }
    Ok(request)
}

/// Whole or not at all, and still there after a power cut.
fn save(paths: &Paths, pod: &Pod) -> Result<()> {
    let path = file(paths, &pod.name);
    let cannot = |error: std::io::Error| cannot_use(format!("cannot write {}", path.display()), &error);
    let text = serde_json::to_vec(pod).map_err(|error| cannot(error.into()))?;
    Ok(durable::replace(&path, &text).map_err(cannot)?)
}

/// A container that is to be in a pod has what that shares. `new:NAME` is made for it, with the network that it asks for.
///
/// # Errors
/// No such pod; what it asks for is the pod's.
pub fn admit(request: &mut Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<()> {
    let Some(word) = request.joins.take() else { return Ok(()) };
    let pod = match word.strip_prefix("new:") {
        None => find(paths, &word)?.pod,
        Some(_) if request.explain => {
            return Err(Error::rejected("cannot explain", "the pod would have to be made").hint("sampan pod create"));
        }
        Some(name) => {
            let name = ContainerId::parse(name)
                .map_err(|error| Error::rejected(format!("cannot make pod {name:?}"), error.to_string()))?;
            let network = std::mem::take(&mut request.network);
            let infra = Infra { shares: Share::DEFAULT.into(), request: Run { network, ..Run::default() }, name: None };
            create(paths, &Create { name: Some(name), infra: Some(infra), ..Create::default() }, tell)?
        }
    };
    check(request, &pod)?;
    if let Some(infra) = &pod.infra {
        let infra = ContainerId::parse(infra)
            .map_err(|error| Error::rejected(format!("cannot use pod {}", pod.name), error.to_string()))?;
        pod.shares.iter().for_each(|share| take(request, *share, &infra));
        request.requires.push(infra);
    }
    if request.restart == Restart::No {
        request.restart = pod.restart;
    }
    request.pod = Some(Member { id: pod.id, name: pod.name, infra: false });
    Ok(())
}

fn check(request: &Run, pod: &Pod) -> Result<()> {
    let (names, network) = (&request.namespaces, &request.network);
    let published = !network.publish.is_empty() || network.publish_all || !network.expose.is_empty();
    let shares = |share| pod.shares.contains(&share);
    let why = if shares(Share::Net) && network.mode.is_none() && published {
        "its ports are the pod's: publish them with pod create"
    } else if shares(Share::Uts) && names.uts == Join::Private && network.hostname.is_some() {
        "its host name is the pod's: give it with pod create"
    } else if shares(Share::User) && (names.user.is_some() || !names.uid_map.is_empty() || !names.gid_map.is_empty()) {
        "its user namespace is the pod's"
    } else {
        return Ok(());
    };
    Err(Error::rejected(format!("cannot put the container into pod {}", pod.name), why))
}

/// What the container asks for itself goes before.
fn take(request: &mut Run, share: Share, infra: &ContainerId) {
    let names = &mut request.namespaces;
    let join = |mode: &mut Join| {
        if *mode == Join::Private {
            *mode = Join::Container(infra.clone());
        }
    };
    match share {
        Share::Cgroup => join(&mut names.cgroup),
        Share::Ipc => join(&mut names.ipc),
        Share::Pid => join(&mut names.pid),
        Share::Uts => join(&mut names.uts),
        Share::User => names.user = Some(User::Container(infra.clone())),
        Share::Net => {
            request.network.mode.get_or_insert_with(|| Mode::Container(infra.clone()));
        }
    }
}
