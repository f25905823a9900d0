//! The second entry, as plan has it (`plan::network::entry`): a cable of which both ends are the host's.

use super::state;
use plan::network::entry::{DUMMY4, ENTRY, EXIT, MAC, MARK, MTU, ROUTES};
use rustix::io::Errno;
use std::fs;
use std::path::{Path, PathBuf};
use sys::netlink::address::Address;
use sys::netlink::{Batch, Socket};
use sys::{Error, Result};

/// Whether there is one, or shall be.
pub(super) fn is_wanted(state_dir: &Path) -> bool {
    file(state_dir).exists()
}

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join(".entry")
}

/// Written down first: by it whoever cleans up finds the rest.
pub(super) fn want(state_dir: &Path) -> Result<()> {
    let path = file(state_dir);
    fs::write(&path, "").map_err(Error::of_io(|| format!("write({})", path.display())))
}

pub(super) fn forget(state_dir: &Path) -> Result<()> {
    state::remove(&file(state_dir))
}

/// The index of the end that packets are sent into, and whether it was made just now.
pub(super) fn ensure(route: &Socket) -> Result<(u32, bool)> {
    if let Some(link) = route.link(EXIT)? {
        return Ok((link.index, false));
    }
    let mut batch = Batch::new();
    batch.add_cable(EXIT, ENTRY, MAC, MTU);
    route.apply(&batch)?;
    // Behind it are packets from everywhere (2: whichever way they came), and they go on to bridges.
    for (name, value) in [("rp_filter", "2"), ("forwarding", "1")] {
        let path = format!("/proc/sys/net/ipv4/conf/{ENTRY}/{name}");
        fs::write(&path, value).map_err(Error::of_io(|| format!("write({path}, {value:?})")))?;
    }
    let index = |name: &str| Ok(route.link(name)?.ok_or_else(|| super::no_link(name))?.index);
    let (entry, exit) = (index(ENTRY)?, index(EXIT)?);
    let mut batch = Batch::new();
    batch.set_up(entry);
    batch.add_address(Address { link: entry, ip: DUMMY4.into(), prefix: 32, peer: None });
    route.apply(&batch)?;
    let mut batch = Batch::new();
    batch.add_default_route6_in(ROUTES, entry);
    batch.add_rule6(MARK, ROUTES);
    match route.ensure(&batch) {
        // A kernel without IPv6, or a host that has it switched off.
        Err(error) if !matches!(error.errno, Errno::AFNOSUPPORT | Errno::OPNOTSUPP | Errno::ACCESS | Errno::NODEV) => {
            Err(error)
        }
        _ => Ok((exit, true)),
    }
}

/// Gone already is gone.
pub(super) fn remove(route: &Socket) -> Result<()> {
    let mut link = Batch::new();
    link.delete_link(EXIT);
    let mut rule = Batch::new();
    rule.delete_rule6(ROUTES);
    for batch in [link, rule] {
        match route.try_send(&batch, |_, _| ())? {
            None | Some(Errno::NODEV | Errno::NOENT | Errno::AFNOSUPPORT | Errno::OPNOTSUPP) => (),
            Some(errno) => return Err(Error::new(format!("remove {EXIT}"), errno)),
        }
    }
    Ok(())
}
