//! `--opt KEY=VALUE` of a network: docker's words and podman's.

use super::Driver;
use crate::request::Invalid;
use crate::request::network::link;
use plan::network::{Mode, Parent, Traits};
use spec::unit::boolean;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What the options say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Bytes.
    pub mtu: Option<u32>,
    /// The bridge's name.
    pub bridge: Option<String>,
    /// Where ports are published that name no address.
    pub host_ip: Option<Ipv4Addr>,
    /// How the links of its containers are called, before the number.
    pub link: Option<String>,
    pub ipv6: bool,
    pub traits: Traits,
    /// The link of the host's that containers' are parts of, and how.
    pub parent: Option<String>,
    pub mode: Option<String>,
}

const KNOWN: &str = "mtu, isolate, parent, mode, com.docker.network.driver.mtu, com.docker.network.enable_ipv6, \
                     com.docker.network.container_iface_prefix, and of com.docker.network.bridge: name, enable_icc, \
                     enable_ip_masquerade, host_binding_ipv4";

impl Options {
    /// # Errors
    /// [`Invalid`] for the first that is unknown, or whose value is none.
    pub fn of(given: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut options = Self::default();
        given.iter().try_for_each(|(key, value)| options.set(key, value))?;
        Ok(options)
    }

    /// # Errors
    /// What goes with another driver only, or is missing.
    pub(super) fn parent_of(&self, driver: Driver) -> Result<Option<Parent>, Invalid> {
        if !matches!(driver, Driver::Macvlan | Driver::Ipvlan) {
            return match (&self.parent, &self.mode) {
                (None, None) => Ok(None),
                _ => Err(Invalid::new("a bridge has no parent and no mode").hint("--driver macvlan")),
            };
        }
        let Some(link) = self.parent.clone() else {
            return Err(Invalid::new("no link of the host is named").hint("-o parent=eth0"));
        };
        let mode = Mode::of(driver.name(), self.mode.as_deref());
        let unknown = || Invalid::new(format!("unknown mode {:?}", self.mode.as_deref().unwrap_or_default()));
        let hint = "macvlan has bridge, private, vepa and passthru; ipvlan l2, l3 and l3s";
        Ok(Some(Parent { link, mode: mode.ok_or_else(|| unknown().hint(hint))? }))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Invalid> {
        let wrong = |what: &str| Invalid::new(format!("{key}: {value:?} is no {what}"));
        match key {
            "mtu" | "com.docker.network.driver.mtu" => {
                self.mtu = Some(value.parse().map_err(|_| wrong("number of bytes"))?);
            }
            "com.docker.network.bridge.name" => self.bridge = Some(link(value)?),
            "com.docker.network.bridge.enable_icc" => self.traits.apart = !boolean(value)?,
            "com.docker.network.bridge.enable_ip_masquerade" => self.traits.unmasked = !boolean(value)?,
            "com.docker.network.bridge.host_binding_ipv4" => {
                self.host_ip = Some(value.parse().map_err(|_| wrong("IPv4 address"))?);
            }
            "com.docker.network.container_iface_prefix" => {
                link(&format!("{value}99"))?;
                self.link = Some(value.to_owned());
            }
            "parent" => self.parent = Some(link(value)?),
            "mode" | "macvlan_mode" | "ipvlan_mode" => self.mode = Some(value.to_owned()),
            "com.docker.network.enable_ipv6" => self.ipv6 = boolean(value)?,
            // All are: podman's default is another.
            "isolate" if value == "strict" || boolean(value)? => {}
            "isolate" => {
                return Err(Invalid::new("networks are isolated from each other")
                    .hint("connect a container to both: --network A --network B"));
            }
            _ => {
                return Err(
                    Invalid::new(format!("unknown option {key:?} of a network")).hint(format!("{KNOWN} are known"))
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[(&str, &str)]) -> Result<Options, Invalid> {
        Options::of(&given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn dockers_and_podmans_words() {
        let all = options(&[
            ("mtu", "1300"),
            ("isolate", "strict"),
            ("com.docker.network.bridge.name", "br7"),
            ("com.docker.network.bridge.enable_icc", "false"),
            ("com.docker.network.bridge.enable_ip_masquerade", "false"),
            ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"),
            ("com.docker.network.container_iface_prefix", "net"),
        ])
        .unwrap();
        assert_eq!((all.mtu, all.bridge.as_deref(), all.link.as_deref()), (Some(1300), Some("br7"), Some("net")));
        assert!(all.traits.apart && all.traits.unmasked && all.host_ip.is_some());
        for (key, value, why) in [
            ("mtu", "x", "number"),
            ("isolate", "false", "isolated"),
            ("vlan", "5", "unknown option"),
            ("com.docker.network.bridge.name", "a b", "name of a link"),
        ] {
            assert!(options(&[(key, value)]).unwrap_err().why.contains(why), "{key}");
        }
    }
}
