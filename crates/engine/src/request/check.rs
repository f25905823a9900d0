//! Whether the parts of a request go together, as far as that does not depend on the host.

use super::limit::Bound;
use super::log::Driver;
use super::network::{DEFAULT, Endpoint, Mode};
use super::secret::{Secret, Way};
use super::{Health, Join, Limits, Mount, Restart, Rootfs, Run, User, mount};
use plan::Rejected;
use std::collections::BTreeSet;

impl Run {
    /// The warnings: what was asked for and will have no effect.
    ///
    /// # Errors
    /// [`Rejected`] for the first pair that contradicts itself.
    pub fn check(&self) -> Result<Vec<String>, Rejected> {
        self.limits.check()?;
        self.check_command()?;
        self.check_layer()?;
        self.check_mounts()?;
        self.check_namespaces()?;
        self.check_network()?;
        self.check_timings()?;
        Ok(self.warnings())
    }

    fn check_command(&self) -> Result<(), Rejected> {
        let entrypoint = self.process.entrypoint.as_deref().unwrap_or_default();
        if matches!(self.rootfs, Rootfs::Directory { .. }) && self.process.command.is_empty() && entrypoint.is_empty() {
            let hint = "name a program after the directory: --rootfs DIR /bin/sh";
            return Err(Rejected::new("no command to run", "a directory has no default as an image has").hint(hint));
        }
        Ok(())
    }

    fn check_layer(&self) -> Result<(), Rejected> {
        let layered = match &self.rootfs {
            Rootfs::Image { reference, .. } => reference != crate::ground::HOST,
            Rootfs::Directory { overlay, .. } => *overlay,
            Rootfs::Nothing => false,
        };
        match self.files.layer_size {
            Some(size) if !layered => {
                let why = "it has no layer of its own on the disk";
                Err(Rejected::new(format!("cannot limit what the container changes to {size}"), why)
                    .hint("leave --storage-opt out"))
            }
            _ => Ok(()),
        }
    }

    /// What is timed this process does itself, so there is no monitor.
    fn check_timings(&self) -> Result<(), Rejected> {
        let named = self.network.endpoints().iter().any(|endpoint| endpoint.network != DEFAULT);
        let asked = [
            (self.detach, "--detach"),
            (self.restart != Restart::No, "--restart"),
            (self.health != Health::default(), "--health-cmd"),
            (self.log.is_asked() && self.log.driver() != Driver::None, "--log-driver"),
            (named, "--network"),
        ];
        let monitored = asked.iter().find(|(asked, _)| self.timings && *asked);
        monitored.map_or(Ok(()), |(_, flag)| {
            Err(conflict("--timings", flag, "that is a monitor's work, and a container that is timed has none"))
        })
    }

    fn check_mounts(&self) -> Result<(), Rejected> {
        let kernels = |mount: &&Mount| {
            !self.security.privileged && (mount.target == "/sys" || plan::mounts::covers_proc(&mount.target))
        };
        if let Some(mount) = self.files.mounts.iter().find(kernels) {
            let why = "it would cover the kernel's own files there, and the masks on them";
            return Err(Rejected::new(format!("cannot mount on {}", mount.target), why).hint("mount it elsewhere"));
        }
        self.check_shared()?;
        let mut targets = BTreeSet::new();
        let file = |secret: &'_ Secret| match &secret.way {
            Way::File { target, .. } => Some(target.clone()),
            Way::Variable(_) => None,
        };
        let mounts = self.files.mounts.iter().map(|mount| mount.target.clone());
        match mounts.chain(self.secrets.iter().filter_map(file)).find(|target| !targets.insert(target.clone())) {
            None => Ok(()),
            Some(twice) => Err(Rejected::new(format!("cannot mount {twice} twice"), "two mounts have this target")
                .hint("take one of them out")),
        }
    }

    /// A mount in a shared one appears on the host, too, and nobody would take it away there.
    fn check_shared(&self) -> Result<(), Rejected> {
        let mounts = &self.files.mounts;
        for outer in mounts.iter().filter(|mount| is_shared(mount)) {
            let inner =
                |mount: &&Mount| mount.target.strip_prefix(&outer.target).is_some_and(|rest| rest.starts_with('/'));
            if let Some(inner) = mounts.iter().find(inner) {
                let why = format!("{} is shared with the host, where it would appear as well", outer.target);
                let what = format!("cannot mount on {}", inner.target);
                return Err(Rejected::new(what, why).hint("mount it elsewhere, or take slave instead of shared"));
            }
        }
        Ok(())
    }

    fn check_namespaces(&self) -> Result<(), Rejected> {
        let names = &self.namespaces;
        let network = &self.network;
        if names.uts != Join::Private {
            let set = [("--hostname", &network.hostname), ("--domainname", &network.domainname)];
            if let Some((flag, _)) = set.iter().find(|(_, value)| value.is_some()) {
                return Err(conflict(flag, "--uts", "the name would change for everyone in that UTS namespace"));
            }
        }
        let mapped = [("--uidmap", &names.uid_map), ("--gidmap", &names.gid_map)];
        let mapped = mapped.iter().find(|(_, map)| !map.is_empty());
        match (mapped, &names.user) {
            (None, _) | (Some(_), None | Some(User::Private)) => Ok(()),
            (Some((flag, _)), Some(_)) => Err(conflict(flag, "--userns", "that mode has id maps of its own")),
        }
    }

    fn check_network(&self) -> Result<(), Rejected> {
        let network = &self.network;
        self.check_aliases()?;
        let Some(mode) = &network.mode else { return Ok(()) };
        let addresses = [
            ("--ip", network.ip.is_some()),
            ("--ip6", network.ip6.is_some()),
            ("--mac-address", network.mac.is_some()),
            ("--network-alias", !network.aliases.is_empty()),
        ];
        let ports = [
            ("--publish", !network.publish.is_empty()),
            ("--publish-all", network.publish_all),
            ("--expose", !network.expose.is_empty()),
        ];
        let names = [
            ("--hostname", network.hostname.is_some()),
            ("--dns", !network.dns.is_empty()),
            ("--dns-search", !network.dns_search.is_empty()),
            ("--dns-option", !network.dns_options.is_empty()),
            ("--add-host", !network.add_host.is_empty()),
        ];
        let refuse = |flags: &[(&str, bool)], why: &str| match flags.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(conflict(flag, &format!("--network {}", word(mode)), why)),
            None => Ok(()),
        };
        if !matches!(mode, Mode::Networks(_)) {
            refuse(&addresses, "sampan only gives addresses and names on its own networks")?;
        }
        match mode {
            Mode::Container(_) => {
                refuse(&ports, "ports belong to the container that owns the network")?;
                refuse(&names, "names belong to the container that owns the network")
            }
            Mode::Path(_) => refuse(&ports, "ports belong to who made the network namespace"),
            Mode::Networks(_) | Mode::None | Mode::Host | Mode::Pasta => Ok(()),
        }
    }

    fn check_aliases(&self) -> Result<(), Rejected> {
        let endpoints = self.network.endpoints();
        let nameless = |endpoint: &&Endpoint| endpoint.network == DEFAULT && !endpoint.aliases.is_empty();
        match endpoints.iter().find(nameless) {
            Some(endpoint) => {
                let what = format!("cannot call the container {} on {DEFAULT}", endpoint.aliases[0]);
                Err(Rejected::new(what, "names are known on networks that a user made only")
                    .hint("sampan network create NAME"))
            }
            None => Ok(()),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let network = &self.network;
        let publishes = !network.publish.is_empty() || network.publish_all;
        if let (true, Some(mode @ (Mode::Host | Mode::None))) = (publishes, &network.mode) {
            warnings.push(format!("published ports have no effect with --network {}", word(mode)));
        }
        if self.namespaces.ipc != Join::Private && self.files.shm_size.is_some() {
            warnings.push("--shm-size has no effect where the IPC namespace is another's".into());
        }
        if self.limits.oom_kill_disable && self.limits.memory.is_none() {
            warnings.push("--oom-kill-disable without --memory can hang the machine when memory runs out".into());
        }
        warnings
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), Rejected> {
        // docker's floor: with less hardly a program starts.
        if let Some(memory) = self.memory.filter(|memory| memory.bytes() < 6 << 20) {
            let what = format!("cannot limit memory to {memory}");
            return Err(Rejected::new(what, "a container needs at least 6m").hint("ask for 6m or more"));
        }
        if let Some(Bound::At(swap)) = self.memory_swap {
            let what = format!("cannot limit memory and swap to {swap}");
            let Some(memory) = self.memory else {
                return Err(Rejected::new(what, "memory alone has no limit").hint("add --memory"));
            };
            if swap < memory {
                let why = format!("--memory-swap counts memory and swap together, and --memory is {memory}");
                return Err(Rejected::new(what, why).hint(format!("ask for {memory} or more, or -1 for no limit")));
            }
        }
        if let (Some(memory), Some(reservation)) = (self.memory, self.memory_reservation)
            && reservation > memory
        {
            let what = format!("cannot reserve {reservation} of memory");
            return Err(Rejected::new(what, format!("--memory is {memory}")).hint("reserve less than the limit"));
        }
        let why = "both set the quota of the CPU controller";
        match (self.cpus, self.cpu_quota, self.cpu_period) {
            (Some(_), Some(_), _) => Err(conflict("--cpus", "--cpu-quota", why)),
            (Some(_), _, Some(_)) => Err(conflict("--cpus", "--cpu-period", why)),
            _ => Ok(()),
        }
    }
}

fn is_shared(mount: &Mount) -> bool {
    use mount::Propagation::{RecursiveShared, Shared};
    matches!(&mount.kind, mount::Kind::Bind(bind) if matches!(bind.propagation, Some(Shared | RecursiveShared)))
}

fn conflict(flag: &str, other: &str, why: &str) -> Rejected {
    Rejected::new(format!("cannot combine {flag} with {other}"), why).hint(format!("leave {flag} out"))
}

fn word(mode: &Mode) -> String {
    match mode {
        Mode::Networks(all) => all.iter().map(|one| one.network.as_str()).collect::<Vec<_>>().join(","),
        Mode::None => "none".into(),
        Mode::Host => "host".into(),
        Mode::Pasta => "pasta".into(),
        Mode::Container(name) => format!("container:{name}"),
        Mode::Path(path) => format!("ns:{}", path.display()),
    }
}
