//! The state directory: what networks there are, who has which address and port, what the host was like before.
//!
//! ```text
//! STATE/.host                   sysctls as they were: one "path value" a line, in the order of putting back
//! STATE/.ports/tcp.8080.all     → the container that publishes it
//! STATE/.members/ID/NETWORK     → the container's IPv4 address in it
//! STATE/NETWORK/record          plan::network::Shared
//! STATE/NETWORK/leases/ADDRESS  plan::network::Lease; an IPv6 address → its IPv4 address
//! STATE/NETWORK/names/NAME/ADDRESS  → the IPv6 address of who has this name and this IPv4 address, or -
//! ```
//! Invariant: a file is written before what it names is made and removed after that is gone. The lock is on the
//! directory itself, so it leaves no file behind.

use plan::network::{Lease, Published, Shared};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use sys::{Error, Result};

pub(crate) fn leases(state_dir: &Path, network: &str) -> PathBuf {
    state_dir.join(network).join("leases")
}

pub(crate) fn ports(state_dir: &Path) -> PathBuf {
    state_dir.join(".ports")
}

pub(crate) fn members(state_dir: &Path, container: &str) -> PathBuf {
    state_dir.join(".members").join(container)
}

/// Names are not case-sensitive (RFC 4343).
pub(crate) fn name(state_dir: &Path, network: &str, name: &str) -> PathBuf {
    state_dir.join(network).join("names").join(name.to_ascii_lowercase())
}

/// The networks that a container is in, with its address there.
///
/// # Errors
/// The directory cannot be read.
pub fn memberships(state_dir: &Path, container: &str) -> Result<Vec<(String, Ipv4Addr)>> {
    let directory = members(state_dir, container);
    let address = |network: &String| fs::read_link(directory.join(network)).ok()?.to_str()?.parse().ok();
    let networks = names(&directory)?.into_iter();
    Ok(networks.filter_map(|network| address(&network).map(|address| (network, address))).collect())
}

pub(super) fn host(state_dir: &Path) -> PathBuf {
    state_dir.join(".host")
}

/// The network's record; `None` where there is none that can be read.
#[must_use]
pub fn shared(state_dir: &Path, network: &str) -> Option<Shared> {
    let record = fs::read_to_string(state_dir.join(network).join("record")).ok()?;
    Shared::parse(network, &record)
}

/// Who has the address.
#[must_use]
pub fn holder(state_dir: &Path, network: &str, address: Ipv4Addr) -> Option<Lease> {
    let text = fs::read_to_string(leases(state_dir, network).join(address.to_string())).ok()?;
    Some(Lease::parse(address, &text))
}

/// The names of all networks that have a directory; none begins with a dot.
pub(super) fn networks(state_dir: &Path) -> Result<Vec<String>> {
    Ok(names(state_dir)?.into_iter().filter(|name| !name.starts_with('.')).collect())
}

/// Whether a container is in the network.
#[must_use]
pub fn is_used(state_dir: &Path, network: &str) -> bool {
    // The directory goes with the last lease.
    leases(state_dir, network).exists()
}

/// All leases of the network.
///
/// # Errors
/// The directory cannot be read.
pub fn all(state_dir: &Path, network: &str) -> Result<Vec<Lease>> {
    let addresses = names(&leases(state_dir, network))?.into_iter().filter_map(|name| name.parse().ok());
    Ok(addresses.filter_map(|address| holder(state_dir, network, address)).collect())
}

/// The names in a directory; none if it is not there.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>> {
    let call = || format!("readdir({})", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::of_io(call))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(Error::of_io(call))?.file_name().into_string());
    }
    Ok(names)
}

pub(super) fn claim(state_dir: &Path, shared: &Shared, lease: &Lease) -> Result<()> {
    // First: by it all the rest is found.
    let member = members(state_dir, &lease.container);
    for directory in [state_dir.join(".members"), member.clone()] {
        ensure_directory(&directory)?;
    }
    link(&lease.address4.to_string(), &member.join(&shared.name))?;
    let leases = leases(state_dir, &shared.name);
    for directory in [state_dir.join(&shared.name), leases.clone()] {
        ensure_directory(&directory)?;
    }
    let record = state_dir.join(&shared.name).join("record");
    if fs::read(&record).ok().as_deref() != Some(shared.record().as_bytes()) {
        replace(&record, &shared.record())?;
    }
    let file = leases.join(lease.address4.to_string());
    let call = || format!("open({}, O_CREAT|O_EXCL)", file.display());
    let mut open = File::create_new(&file).map_err(Error::of_io(call))?;
    open.write_all(lease.text().as_bytes()).map_err(Error::of_io(|| format!("write({})", file.display())))?;
    if let Some(ip) = lease.address6 {
        link(&lease.address4.to_string(), &leases.join(ip.to_string()))?;
    }
    link_names(state_dir, &shared.name, lease)?;
    link_ports(state_dir, lease)
}

fn link_names(state_dir: &Path, network: &str, lease: &Lease) -> Result<()> {
    if lease.names.is_empty() {
        return Ok(());
    }
    ensure_directory(&state_dir.join(network).join("names"))?;
    let target = lease.address6.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    for name in &lease.names {
        let directory = self::name(state_dir, network, name);
        ensure_directory(&directory)?;
        let path = directory.join(lease.address4.to_string());
        // Its id may be its name as well.
        if fs::symlink_metadata(&path).is_err() {
            link(&target, &path)?;
        }
    }
    Ok(())
}

pub(super) fn link_ports(state_dir: &Path, lease: &Lease) -> Result<()> {
    if !lease.published.is_empty() {
        ensure_directory(&ports(state_dir))?;
    }
    lease.published.iter().try_for_each(|port| link(&lease.container, &ports(state_dir).join(port.file_name())))
}

/// The opposite of [`claim`], but the lease itself: it goes last, because it names the rest.
pub(super) fn unlink_names(state_dir: &Path, network: &str, lease: &Lease) -> Result<()> {
    unlink_ports(state_dir, lease)?;
    for name in &lease.names {
        let directory = self::name(state_dir, network, name);
        remove(&directory.join(lease.address4.to_string()))?;
        remove_directory(&directory)?;
    }
    if let Some(ip) = lease.address6 {
        let path = leases(state_dir, network).join(ip.to_string());
        if is_link(&path, &lease.address4.to_string()) {
            remove(&path)?;
        }
    }
    Ok(())
}

pub(super) fn unlink_ports(state_dir: &Path, lease: &Lease) -> Result<()> {
    for port in lease.published.iter().map(Published::file_name) {
        let path = ports(state_dir).join(port);
        if is_link(&path, &lease.container) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// A lease that is there says something else from now on.
pub(super) fn rewrite(state_dir: &Path, network: &str, lease: &Lease) -> Result<()> {
    replace(&leases(state_dir, network).join(lease.address4.to_string()), &lease.text())
}

fn is_link(path: &Path, target: &str) -> bool {
    fs::read_link(path).is_ok_and(|found| found.as_os_str() == target)
}

pub(super) fn ensure_directory(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    match builder.mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done.map_err(Error::of_io(|| format!("mkdir({})", path.display()))),
    }
}

/// What [`replace`] leaves behind when it is killed.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Whole or not at all.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let new = unfinished(path);
    fs::write(&new, text).map_err(Error::of_io(|| format!("write({})", new.display())))?;
    fs::rename(&new, path).map_err(Error::of_io(|| format!("rename({}, {})", new.display(), path.display())))
}

fn link(target: &str, path: &Path) -> Result<()> {
    symlink(target, path).map_err(Error::of_io(|| format!("symlink({target}, {})", path.display())))
}

/// Gone already is gone.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(Error::of_io(|| format!("unlink({})", path.display()))),
    }
}

/// Whether the directory is gone now; `false`: something is in it.
pub(super) fn remove_directory(path: &Path) -> Result<bool> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(Error::of_io(|| format!("rmdir({})", path.display()))(error)),
    }
}

/// A sysctl's value, without the newline; `None` where the kernel has no such file.
pub(crate) fn sysctl(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // A link that goes away while its file is read.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => Ok(None),
        text => {
            text.map(|text| Some(text.trim().to_owned())).map_err(Error::of_io(|| format!("read({})", path.display())))
        }
    }
}
