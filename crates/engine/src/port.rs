//! `sampan port`: which ports of the host are a container's.

use crate::containers::Record;
use crate::error::{Error, Result};

/// A port of the container's, `80/tcp`, and an address of the host's that leads there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    pub inside: String,
    pub outside: String,
}

/// In the order of the container's ports.
#[must_use]
pub fn mappings(record: &Record) -> Vec<Mapping> {
    let of = |text: &String| {
        let (outside, inside) = text.split_once("->")?;
        Some(Mapping { inside: inside.to_owned(), outside: outside.to_owned() })
    };
    let number = |mapping: &Mapping| mapping.inside.split('/').next().and_then(|text| text.parse::<u16>().ok());
    let mut all: Vec<Mapping> = record.ports.iter().filter_map(of).collect();
    all.sort_by_key(number);
    all
}

/// The addresses of one port: `80`, or `80/udp`.
///
/// # Errors
/// It is not published.
pub fn of_port(record: &Record, port: &str) -> Result<Vec<String>> {
    let whole = if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
    let found: Vec<String> =
        mappings(record).into_iter().filter(|it| it.inside == whole).map(|it| it.outside).collect();
    if found.is_empty() {
        let what = format!("cannot find the port {whole} of container {}", record.name);
        return Err(Error::rejected(what, "it is not published").hint("sampan port CONTAINER shows which are"));
    }
    Ok(found)
}
