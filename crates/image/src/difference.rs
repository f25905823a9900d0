//! What a layer changes in those below it: of a container's own files, of an unpacked layer, or between two images; as a
//! list, and as a layer's tar.
//!
//! Invariant: what a start itself leaves there, the empty files and directories that it mounts over, is no change.
//! Read-only.

use crate::error::{Context, Result};
use crate::pack::{Ids, Packer, attributes_of};
use crate::stack::{Entry, Stack};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use sys::mark::Seen;

/// Where every container has mounts.
const OWN_FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];
const OWN_DIRS: [&str; 3] = ["dev", "proc", "sys"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Added,
    Changed,
    Deleted,
}

/// What a container has of its own, on its image's layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Own {
    /// A layer: what it changed.
    Upper(PathBuf),
    /// A copy of all that it sees.
    Tree(PathBuf),
}

/// `path`: from the root on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: Kind,
    pub path: PathBuf,
}

/// What an unpacked layer changes in those below it (top first), sorted by path.
///
/// # Errors
/// A directory cannot be read.
pub fn of_layer<P: AsRef<Path>>(layer: &Path, lower: &[P]) -> Result<Vec<Change>> {
    listed(Walk { top: Stack::open(&[layer])?, whole: false, ids: &Ids::default() }, lower)
}

/// What a container changes in its image's layers (top first), sorted by path. `ids`: whose its files are.
///
/// # Errors
/// A directory cannot be read.
pub fn of_container<P: AsRef<Path>>(own: &Own, lower: &[P], ids: &Ids) -> Result<Vec<Change>> {
    listed(Walk::of(own, ids)?, lower)
}

/// Bytes of the disk that what a copy of those layers changes in them takes; what cannot be read counts nothing.
#[must_use]
pub fn size<P: AsRef<Path>>(tree: &Path, lower: &[P], ids: &Ids) -> u64 {
    let mut bytes = 0;
    let sum = Walk::of(&Own::Tree(tree.to_owned()), ids).and_then(|walk| {
        walk.over(lower, &mut |_, step| {
            if let Step::Entry { entry, .. } = step {
                bytes += u64::try_from(entry.stat.st_blocks).unwrap_or(0) * 512;
            }
            Ok(())
        })
    });
    sum.map_or(0, |()| bytes)
}

fn listed<P: AsRef<Path>>(walk: Walk<'_>, lower: &[P]) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    walk.over(lower, &mut |path, step| {
        let kind = match step {
            Step::Entry { below: None, .. } => Kind::Added,
            Step::Entry { below: Some(_), .. } => Kind::Changed,
            Step::Gone { .. } => Kind::Deleted,
            Step::Opaque => return Ok(()),
        };
        changes.push(Change { kind, path: Path::new("/").join(path) });
        Ok(())
    })?;
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// A layer that changes the layers below it as that container does, of which the files are those of `ids`.
///
/// # Errors
/// A file cannot be read, or the output not be written.
pub fn pack<P: AsRef<Path>>(own: &Own, lower: &[P], ids: &Ids, output: impl Write) -> Result<()> {
    let mut packer = Packer::new(output);
    Walk::of(own, ids)?.over(lower, &mut |path, step| match step {
        Step::Entry { stack, name, entry, .. } => packer.entry(stack.dir(entry.at), name, path, &entry.stat),
        Step::Gone { covered: false } => packer.whiteout(path),
        Step::Gone { covered: true } => Ok(()),
        Step::Opaque => packer.opaque(path),
    })?;
    packer.finish().map(drop)
}

/// All that a container sees: its own files, if it has some, which are those of `ids`, and the layers below (top first).
///
/// # Errors
/// As [`pack`].
pub fn pack_all(own: Option<&Own>, lower: &[PathBuf], ids: &Ids, output: impl Write) -> Result<()> {
    let mut packer = Packer::new(output);
    let stack = match own {
        None => Stack::open(lower)?,
        Some(Own::Upper(upper)) => Stack::under(upper, lower)?,
        Some(Own::Tree(tree)) => Stack::under(tree, lower.get(..0).unwrap_or_default())?,
    };
    let none = Ids::default();
    let ids_of = |layer| if own.is_some() && layer == 0 { ids } else { &none };
    all(&stack, Path::new(""), &ids_of, &mut packer).context(|| "cannot pack the layers".to_owned())?;
    packer.finish().map(drop)
}

fn all<'a, W: Write>(stack: &Stack, at: &Path, ids: &dyn Fn(usize) -> &'a Ids, packer: &mut Packer<W>) -> Result<()> {
    for (name, entry) in stack.entries()? {
        let path = at.join(&name);
        packer.entry(stack.dir(entry.at), &name, &path, &ids(entry.layer).inside(&entry.stat)?)?;
        if entry.is_dir() {
            all(&stack.enter(&name)?, &path, ids, packer)?;
        }
    }
    Ok(())
}

/// How the files of one image (layers top first) differ from those of another, sorted by path.
///
/// # Errors
/// As [`of_layer`].
pub fn between<P: AsRef<Path>>(layers: &[P], before: &[P]) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    compare(&Stack::open(layers)?, &Stack::open(before)?, Path::new("/"), &mut changes)
        .context(|| "cannot compare the images".to_owned())?;
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

fn compare(stack: &Stack, before: &Stack, at: &Path, changes: &mut Vec<Change>) -> Result<()> {
    let (now, then) = (stack.entries()?, before.entries()?);
    for name in then.keys().filter(|name| !now.contains_key(*name)) {
        changes.push(Change { kind: Kind::Deleted, path: at.join(name) });
    }
    for (name, entry) in &now {
        let path = at.join(name);
        let old = then.get(name);
        let kind = match old {
            None => Some(Kind::Added),
            Some(old) => (!is_same(entry, old)).then_some(Kind::Changed),
        };
        changes.extend(kind.map(|kind| Change { kind, path: path.clone() }));
        if entry.is_dir() {
            let below = if old.is_some_and(Entry::is_dir) { before.enter(name)? } else { Stack::none() };
            compare(&stack.enter(name)?, &below, &path, changes)?;
        }
    }
    Ok(())
}

/// As far as the attributes say. A layer need not list its directories, so their times say nothing.
fn is_same(a: &Entry, b: &Entry) -> bool {
    let (timed, a, b) = (!a.is_dir(), &a.stat, &b.stat);
    let node = |stat: &rustix::fs::Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    let content = |stat: &rustix::fs::Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    node(a) == node(b) && (!timed || content(a) == content(b))
}

enum Step<'a> {
    /// In the layer; `below`: what it hides, or merges with.
    Entry { stack: &'a Stack, name: &'a OsStr, entry: &'a Entry, below: Option<Entry> },
    /// Below, and not to be seen any more. `covered`: as something above it is opaque.
    Gone { covered: bool },
    /// Follows its directory: what is below is not to be seen in it.
    Opaque,
}

type Visit<'a> = &'a mut dyn FnMut(&Path, Step<'_>) -> Result<()>;

struct Walk<'a> {
    top: Stack,
    /// It is no layer: what is there as it is below has not changed, and what is not there is gone.
    whole: bool,
    ids: &'a Ids,
}

impl<'a> Walk<'a> {
    fn of(own: &Own, ids: &'a Ids) -> Result<Self> {
        let (path, whole) = match own {
            Own::Upper(path) => (path, false),
            Own::Tree(path) => (path, true),
        };
        Ok(Self { top: Stack::under(path, &[] as &[&Path])?, whole, ids })
    }

    fn over<P: AsRef<Path>>(&self, lower: &[P], visit: Visit<'_>) -> Result<()> {
        self.inner(&self.top, &Stack::open(lower)?, Path::new(""), false, visit)
            .context(|| "cannot compare a layer with those below".to_owned())
    }

    fn inner(&self, upper: &Stack, lower: &Stack, at: &Path, covered: bool, visit: Visit<'_>) -> Result<()> {
        for (name, entry) in upper.entries()? {
            let entry = Entry { stat: self.ids.inside(&entry.stat)?, ..entry };
            let (path, below) = (at.join(&name), lower.entry(&name)?);
            let same = match &below {
                Some(below) if self.whole => {
                    is_same(&entry, below) && have_same_attributes((upper, &entry), (lower, below), &name)?
                }
                _ => false,
            };
            if !entry.is_dir() {
                let own = below.is_none() && is_own_file(&path, &entry);
                if !same && !own {
                    visit(&path, Step::Entry { stack: upper, name: &name, entry: &entry, below })?;
                }
                continue;
            }
            let dir = upper.enter(&name)?;
            if dir.is_none() {
                // Something else meanwhile: of a container that runs.
                continue;
            }
            if !same && is_own_dir(&path, &dir, &entry, below.as_ref())? {
                continue;
            }
            // What a layer says of a directory goes before what those below say: so it has all that lead to a change.
            let itself = Step::Entry { stack: upper, name: &name, entry: &entry, below };
            let merges = below.as_ref().is_some_and(Entry::is_dir);
            let below = if merges { lower.enter(&name)? } else { Stack::none() };
            if same {
                let mut unsaid = Some(itself);
                let mut visit = |inside: &Path, step: Step<'_>| {
                    unsaid.take().map_or(Ok(()), |itself| visit(&path, itself))?;
                    visit(inside, step)
                };
                self.inner(&dir, &below, &path, covered, &mut visit)?;
                continue;
            }
            visit(&path, itself)?;
            let opaque = dir.is_opaque();
            if opaque && merges && !covered {
                visit(&path, Step::Opaque)?;
            }
            self.inner(&dir, &below, &path, covered || opaque, visit)?;
        }
        for (name, _) in lower.entries()? {
            let hidden = match upper.look(&name)? {
                Seen::Entry(_) => false,
                Seen::Hidden => true,
                Seen::Nothing => covered || self.whole,
            };
            if hidden {
                visit(&at.join(&name), Step::Gone { covered })?;
            }
        }
        Ok(())
    }
}

/// A change of those alone leaves the time of the content as it was.
fn have_same_attributes(a: (&Stack, &Entry), b: (&Stack, &Entry), name: &OsStr) -> Result<bool> {
    let of = |(stack, entry): (&Stack, &Entry)| match FileType::from_raw_mode(entry.stat.st_mode) {
        FileType::RegularFile | FileType::Directory => attributes_of(stack.dir(entry.at), name),
        _ => Ok(vec![]),
    };
    Ok(of(a)? == of(b)?)
}

fn is_own_file(path: &Path, entry: &Entry) -> bool {
    let empty = FileType::from_raw_mode(entry.stat.st_mode) == FileType::RegularFile && entry.stat.st_size == 0;
    empty && OWN_FILES.iter().any(|own| path == Path::new(own))
}

/// One that was made to be mounted on, or of which nothing has changed but that something in it was.
fn is_own_dir(path: &Path, dir: &Stack, entry: &Entry, below: Option<&Entry>) -> Result<bool> {
    let same = below.is_none_or(|below| is_same(entry, below));
    if !same || dir.is_opaque() && below.is_some() {
        return Ok(false);
    }
    if path == Path::new("etc") {
        let names = dir.names()?;
        let entries = dir.entries()?;
        let own =
            |name: &std::ffi::OsString| entries.get(name).is_some_and(|entry| is_own_file(&path.join(name), entry));
        return Ok(!names.is_empty() && names.iter().all(own));
    }
    let made = below.is_none() && OWN_DIRS.iter().any(|own| path == Path::new(own));
    Ok(made && dir.names()?.is_empty())
}
