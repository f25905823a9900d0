//! Who is called so: the names of the networks that the container is in, as their state directory has them now.

use crate::apply::network::state;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// What one container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub state_dir: PathBuf,
    pub container: String,
}

impl View {
    fn networks(&self) -> Vec<String> {
        state::names(&state::members(&self.state_dir, &self.container)).unwrap_or_default()
    }

    /// The addresses of who is called so on any of the networks; `None`: nobody is. `name` has no byte that means
    /// something in a path.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Vec<(Ipv4Addr, Option<Ipv6Addr>)>> {
        let networks = self.networks();
        let mut found: Vec<_> = networks.iter().flat_map(|network| self.on(network, name)).collect();
        if let (true, Some((name, network))) = (found.is_empty(), name.rsplit_once('.')) {
            // docker: of a network that is named, too.
            let named = networks.iter().find(|known| known.eq_ignore_ascii_case(network));
            found.extend(named.into_iter().flat_map(|network| self.on(network, name)));
        }
        (!found.is_empty()).then_some(found)
    }

    fn on(&self, network: &str, name: &str) -> Vec<(Ipv4Addr, Option<Ipv6Addr>)> {
        let directory = state::name(&self.state_dir, network, name);
        let other = |address: &str| fs::read_link(directory.join(address)).ok()?.to_str()?.parse().ok();
        let addresses = state::names(&directory).unwrap_or_default();
        addresses.iter().filter_map(|address| Some((address.parse().ok()?, other(address)))).collect()
    }

    /// How the container with this address is called: `name.network`.
    #[must_use]
    pub fn called(&self, address: IpAddr) -> Option<String> {
        self.networks().into_iter().find_map(|network| {
            let address = match address {
                IpAddr::V4(ip) => ip,
                IpAddr::V6(ip) => {
                    let link = state::leases(&self.state_dir, &network).join(ip.to_string());
                    fs::read_link(link).ok()?.to_str()?.parse().ok()?
                }
            };
            let lease = state::holder(&self.state_dir, &network, address)?;
            lease.names.first().map(|name| format!("{name}.{network}"))
        })
    }

    /// Whether names of others may be asked for outside: not from networks that have no way out.
    #[must_use]
    pub fn leads_out(&self) -> bool {
        let internal =
            |network: &String| state::shared(&self.state_dir, network).is_some_and(|shared| shared.traits.internal);
        !self.networks().iter().all(internal)
    }
}
