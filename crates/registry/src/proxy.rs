//! The environment's proxies, by the rules that Go's programs have, docker and podman among them: `HTTPS_PROXY` for TLS,
//! `HTTP_PROXY` without, `ALL_PROXY` for what neither says; `NO_PROXY` lists hosts, domains, addresses and networks; never
//! for this machine itself.

use crate::error::{Error, Kind, Result};
use std::net::IpAddr;
use std::path::PathBuf;
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    secure: Option<Said>,
    plain: Option<Said>,
    without: Vec<String>,
}

/// A variable's content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    variable: &'static str,
    value: String,
}

/// A proxy, and how messages name it.
pub struct Way {
    pub proxy: Proxy,
    pub name: String,
}

impl Proxies {
    #[must_use]
    pub fn of(env: &dyn Fn(&str) -> Option<PathBuf>) -> Self {
        let text = |name: &str| env(name).and_then(|value| value.into_os_string().into_string().ok());
        let said = |names: &[&'static str]| {
            let set = |variable: &&'static str| {
                Some(Said { variable, value: text(variable).filter(|text| !text.is_empty())? })
            };
            names.iter().find_map(set)
        };
        let without = text("NO_PROXY").or_else(|| text("no_proxy")).unwrap_or_default();
        Self {
            secure: said(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            plain: said(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            without: without
                .split(',')
                .map(|entry| entry.trim().to_ascii_lowercase())
                .filter(|entry| !entry.is_empty())
                .collect(),
        }
    }

    /// For `https://host:port`. `None`: the direct way.
    ///
    /// # Errors
    /// The variable holds what is no proxy that can be used.
    pub fn way(&self, base: &str) -> Result<Option<Way>> {
        let (said, default) = if base.starts_with("https:") { (&self.secure, 443) } else { (&self.plain, 80) };
        let Some(said) = said else { return Ok(None) };
        let address: Uri =
            base.parse().map_err(|_| Error::new(Kind::Configuration, format!("{base} is no address")))?;
        let host = address.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let port = address.port_u16().unwrap_or(default);
        if is_own(&host) || self.without.iter().any(|entry| matches(entry, &host, port)) {
            return Ok(None);
        }
        self.open(said).map(Some)
    }

    fn open(&self, said: &Said) -> Result<Way> {
        let bad =
            |why: &str| Error::new(Kind::Configuration, why).at(format!("cannot use the proxy of {}", said.variable));
        let value = if said.value.contains("://") { said.value.clone() } else { format!("http://{}", said.value) };
        let address: Uri = value.parse().map_err(|_| bad("it is no address"))?;
        let protocol = match address.scheme_str() {
            Some("http") => ProxyProtocol::Http,
            Some("https") => ProxyProtocol::Https,
            Some(scheme) if scheme.starts_with("socks") => {
                return Err(bad("SOCKS is not spoken here").hint("name an HTTP proxy, or the registry in NO_PROXY"));
            }
            _ => return Err(bad("it is no address of http or https")),
        };
        let host = address.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        let port = address.port_u16().unwrap_or(if protocol == ProxyProtocol::Http { 80 } else { 443 });
        let mut made = Proxy::builder(protocol).host(host).port(port);
        // A password may have characters that an address may not.
        if let Some((user, _)) = address.authority().and_then(|authority| authority.as_str().rsplit_once('@')) {
            let (user, password) = user.split_once(':').map_or((user, None), |(user, word)| (user, Some(word)));
            made = made.username(&decoded(user));
            made = password.map(decoded).iter().fold(made, |made, password| made.password(password));
        }
        // Where a redirect leads elsewhere.
        for entry in self.without.iter().map(String::as_str).chain(["localhost", "127.", "::1"]) {
            let name = entry.rsplit_once(':').filter(|(name, _)| !name.contains(':')).map_or(entry, |(name, _)| name);
            made = made.no_proxy(name);
            if !name.starts_with(['.', '*']) {
                made = made.no_proxy(&format!(".{name}"));
            }
        }
        let proxy = made.build().map_err(|error| bad(&error.to_string()))?;
        Ok(Way { proxy, name: format!("{host}:{port}") })
    }
}

fn is_own(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One entry of `NO_PROXY`, in small letters.
fn matches(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let address: Option<IpAddr> = host.parse().ok();
    if let Some((network, length)) = entry.split_once('/') {
        let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
        return address.is_some_and(|address| within(address, network, length));
    }
    // An address of IPv6 has colons of its own.
    let entry_address = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    if let Some(only) = entry_address(entry) {
        return address == Some(only);
    }
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, only)) => match only.parse::<u16>() {
            Ok(only) => (name, Some(only)),
            Err(_) => return false,
        },
        None => (entry, None),
    };
    if only.is_some_and(|only| only != port) {
        return false;
    }
    if let Some(only) = entry_address(name) {
        return address == Some(only);
    }
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn within(address: IpAddr, network: IpAddr, length: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            length <= 32 && u32::from(address) & mask == u32::from(network) & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            length <= 128 && u128::from(address) & mask == u128::from(network) & mask
        }
        _ => false,
    }
}

/// RFC 3986, 2.1. What is no code stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::of(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    fn way(proxies: &Proxies, base: &str) -> Option<String> {
        proxies.way(base).unwrap().map(|way| way.name)
    }

    #[test]
    fn the_scheme_and_the_host_decide() {
        let both = proxies(&[("HTTPS_PROXY", "http://secure.example:3128"), ("http_proxy", "plain.example")]);
        assert_eq!(way(&both, "https://r.example").as_deref(), Some("secure.example:3128"));
        assert_eq!(way(&both, "http://r.example:5000").as_deref(), Some("plain.example:80"));
        for own in ["https://localhost:5000", "https://127.0.0.1:5000", "http://[::1]"] {
            assert_eq!(way(&both, own), None, "{own}");
        }
        assert_eq!(way(&proxies(&[("HTTP_PROXY", "p")]), "https://r.example"), None);
        assert_eq!(way(&proxies(&[("ALL_PROXY", "p:1")]), "https://r.example").as_deref(), Some("p:1"));
        assert_eq!(way(&proxies(&[("HTTPS_PROXY", "")]), "https://r.example"), None);
    }

    #[test]
    fn some_need_none() {
        let list = " in.example, .sub.example,*.star.example,10.0.0.0/8,192.0.2.7,port.example:5000,fd00::/8,[2001:db8::1]:443";
        let some = proxies(&[("HTTPS_PROXY", "p"), ("NO_PROXY", list)]);
        for base in [
            "in.example",
            "r.IN.example",
            "a.sub.example",
            "a.star.example",
            "10.1.2.3:5000",
            "192.0.2.7",
            "port.example:5000",
            "[fd00::1]:5000",
        ] {
            assert_eq!(way(&some, &format!("https://{base}")), None, "{base}");
        }
        for base in ["bin.example", "sub.example", "star.example", "11.1.2.3", "port.example", "[2001:db8::2]"] {
            assert!(way(&some, &format!("https://{base}")).is_some(), "{base}");
        }
        assert_eq!(way(&proxies(&[("HTTPS_PROXY", "p"), ("no_proxy", "*")]), "https://r.example"), None);
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        for (value, why) in [("socks5://p:1", "SOCKS"), ("ftp://p", "http or https"), ("http://", "no address")] {
            let error = proxies(&[("HTTPS_PROXY", value)]).way("https://r.example").err().unwrap();
            assert!(error.to_string().contains(why) && error.to_string().contains("HTTPS_PROXY"), "{error}");
        }
        let way = proxies(&[("HTTPS_PROXY", "http://us%40er:p%3aw@p:8080")]).way("https://r.example").unwrap().unwrap();
        assert_eq!((way.proxy.username(), way.proxy.password()), (Some("us@er"), Some("p:w")));
        assert_eq!(way.name, "p:8080");
    }
}
