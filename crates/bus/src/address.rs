//! Addresses of a bus (D-Bus specification, "Server Addresses").

use crate::{Error, Result};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

/// The first of `KIND:KEY=VALUE,…;…` that somebody listens at.
pub fn connect(addresses: &str) -> Result<UnixStream> {
    let mut last = Error::Malformed("the address names no unix socket");
    for address in addresses.split(';').filter_map(|address| address.strip_prefix("unix:")) {
        match socket(address) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn socket(address: &str) -> Result<UnixStream> {
    let value = |key: &str| address.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    let cannot = || format!("cannot connect to unix:{address}");
    let name = match (value("path"), value("abstract")) {
        (Some(path), _) => unescape(path).map(SocketAddr::from_pathname),
        (None, Some(name)) => unescape(name).map(SocketAddr::from_abstract_name),
        (None, None) => None,
    };
    let name = name.ok_or(Error::Malformed("the address names no unix socket"))?;
    name.and_then(|name| UnixStream::connect_addr(&name)).map_err(Error::io(cannot()))
}

/// `%2f` is a slash, and so on.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        bytes.push(if byte == b'%' { u8::try_from(hex(rest.next())? * 16 + hex(rest.next())?).ok()? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{connect, unescape};

    #[test]
    fn addresses() {
        assert_eq!(unescape("/run/user%2f7%3b/bus").as_deref(), Some("/run/user/7;/bus"));
        for bad in ["%", "%2", "%zz"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
        let absent = connect("tcp:host=x;unix:path=/nonexistent/bus,guid=0;unix:path=/nonexistent/other").unwrap_err();
        assert!(absent.is_absent() && absent.to_string().contains("/nonexistent/other"), "{absent}");
        assert!(!connect("tcp:host=x").unwrap_err().is_absent());
    }

    #[test]
    fn an_abstract_name() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener};
        let name = format!("bus-test-{}", std::process::id());
        let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        connect(&format!("unix:abstract={name}")).unwrap();
    }
}
