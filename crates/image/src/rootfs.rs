//! Looking into layers that nobody has mounted yet, as overlayfs would show them.
//!
//! Invariant: read-only; resolution is by directory descriptor, one name at a time, and a symbolic link is followed
//! inside the root filesystem, never on the host. What cannot be known before the start (a mount whose content does not
//! exist yet, a directory this user may not read) is [`Found::Unknown`], not absent.

use crate::error::{Context, Error, Kind, Result};
use crate::fs as dirfs;
use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use sys::mark::{Marks, Seen};

/// Links followed in one lookup, as the kernel's (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Layers, top first, and what will be mounted over them.
pub struct Rootfs {
    root: Rc<Merged>,
    mounts: HashMap<PathBuf, Option<PathBuf>>,
}

/// The directories of one name in all layers that show through, top first.
type Merged = Vec<(OwnedFd, Marks)>;

pub enum Found {
    Absent,
    Unknown,
    Node(Node),
}

/// `path`: with all links resolved.
pub struct Node {
    pub path: PathBuf,
    pub attributes: Attributes,
    place: Place,
}

/// `mode` with the type bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl From<Stat> for Attributes {
    fn from(stat: Stat) -> Self {
        Self { mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid }
    }
}

enum Place {
    Entry(Rc<Merged>, usize, OsString),
    /// A directory, or a file that is mounted from the host.
    Host(Option<PathBuf>),
}

impl Rootfs {
    /// One plain directory is a list of one layer.
    ///
    /// # Errors
    /// A layer cannot be opened.
    pub fn open<P: AsRef<Path>>(layers: &[P]) -> Result<Self> {
        let open = |layer: &P| {
            let path = layer.as_ref();
            let opened = dirfs::open_root(path);
            let gone = opened.as_ref().is_err_and(|error| error.errno == Errno::NOENT);
            let opened = opened.context(|| format!("cannot open layer {}", path.display()));
            // It was taken away by something else than sampan.
            let dir = opened.map_err(|error| {
                if gone { error.hint("sampan system check --repair fetches it again") } else { error }
            })?;
            let marks = Marks::of(&dir)?;
            Ok((dir, marks))
        };
        Ok(Self { root: Rc::new(layers.iter().map(open).collect::<Result<_>>()?), mounts: HashMap::new() })
    }

    /// Some layer has marks that overlayfs does not know.
    #[must_use]
    pub fn has_names_for_marks(&self) -> bool {
        self.root.iter().any(|(_, marks)| *marks == Marks::Names)
    }

    /// Lookups at and below `destination` go to `source` on the host, or are unknown (`None`: a filesystem that only
    /// the container will have).
    #[must_use]
    pub fn mounted(mut self, destination: &Path, source: Option<&Path>) -> Self {
        self.mounts.insert(destination.components().collect(), source.map(Path::to_owned));
        self
    }

    /// # Errors
    /// [`Kind::System`], or [`Kind::Corrupt`] for a loop of links.
    pub fn find(&self, path: &Path) -> Result<Found> {
        self.walk(path, &mut Vec::new()).context(|| format!("cannot look up {}", path.display()))
    }

    /// Where a link on the way to `path` leads, if it leads to nothing.
    ///
    /// # Errors
    /// As [`Rootfs::find`].
    pub fn dangling(&self, path: &Path) -> Result<Option<PathBuf>> {
        let mut links = Vec::new();
        let found = self.walk(path, &mut links).context(|| format!("cannot look up {}", path.display()))?;
        Ok(links.pop().filter(|_| matches!(found, Found::Absent)))
    }

    /// The file's first `limit` bytes. `None`: absent, not a regular file, or unknown.
    ///
    /// # Errors
    /// As [`Rootfs::find`].
    pub fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let Found::Node(node) = self.find(path)? else {
            return Ok(None);
        };
        let Some(file) = node.open()? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(sys::Error::of_io(|| format!("read({path:?})")))?;
        Ok(Some(bytes))
    }

    /// Where what `path` leads to lies: of a directory its parts that show through, topmost first; of a file the one of
    /// the layer that has it. `layers`: those that this was opened of. Empty: there is none.
    ///
    /// # Errors
    /// As [`Rootfs::find`].
    pub fn parts(&self, path: &Path, layers: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let Found::Node(node) = self.find(path)? else { return Ok(vec![]) };
        let relative = node.path.strip_prefix("/").unwrap_or(&node.path);
        let mut parts = Vec::new();
        for layer in layers {
            let (part, last) = part(layer, relative);
            parts.extend(part.filter(|part| part.is_dir() == node.is_directory()));
            if last {
                break;
            }
        }
        Ok(parts)
    }

    /// `links`: the targets of those that it followed for the last name that it took of `path`.
    fn walk(&self, path: &Path, links: &mut Vec<PathBuf>) -> Result<Found> {
        let mut todo: VecDeque<OsString> = names(path);
        let (mut own, mut followed) = (todo.len(), 0);
        let mut trail: Vec<(OsString, Rc<Merged>, Attributes)> = Vec::new();
        while let Some(name) = todo.pop_front() {
            // The next of the path's own: what was followed led somewhere.
            if todo.len() < own {
                own -= 1;
                links.clear();
            }
            if name == ".." {
                trail.pop();
                continue;
            }
            let here = full(&trail, &name);
            let dir = trail.last().map_or(&self.root, |(_, dir, _)| dir);
            match self.step(dir, &here, &name) {
                Err(error) if matches!(error.errno, Errno::ACCESS | Errno::PERM) => return Ok(Found::Unknown),
                Err(error) if error.errno == Errno::NOTDIR => return Ok(Found::Absent),
                Err(error) => return Err(error.into()),
                Ok(Step::Absent) => return Ok(Found::Absent),
                Ok(Step::Unknown) => return Ok(Found::Unknown),
                Ok(Step::Dir(merged, attributes)) => trail.push((name, Rc::new(merged), attributes)),
                Ok(Step::Link(target)) => {
                    followed += 1;
                    if followed > MAX_LINKS {
                        return Err(Error::new(Kind::Corrupt, "", "too many levels of symbolic links"));
                    }
                    if target.is_absolute() {
                        trail.clear();
                    }
                    let mut names = names(&target);
                    names.append(&mut todo);
                    todo = names;
                    links.push(target);
                }
                Ok(Step::File(..)) if !todo.is_empty() => return Ok(Found::Absent),
                Ok(Step::File(place, attributes)) => {
                    return Ok(Found::Node(Node { path: here, attributes, place }));
                }
            }
        }
        let Some((_, _, attributes)) = trail.last() else {
            let Some(top) = self.root.first() else {
                return Ok(Found::Absent);
            };
            let stat = fs::fstat(&top.0).map_err(sys::Error::of(|| "fstat(root)".to_owned()))?;
            return Ok(Found::Node(Node { path: "/".into(), attributes: stat.into(), place: Place::Host(None) }));
        };
        let (attributes, path) = (*attributes, full(&trail, OsStr::new("")));
        Ok(Found::Node(Node { path, attributes, place: Place::Host(None) }))
    }

    fn step(&self, dir: &Rc<Merged>, here: &Path, name: &OsStr) -> sys::Result<Step> {
        match self.mounts.get(here) {
            Some(None) => Ok(Step::Unknown),
            Some(Some(source)) => mounted(source),
            None => match merge(dir, name)? {
                // It is made when the container is, as what something is mounted in.
                Step::Absent if self.mounts.keys().any(|target| target.starts_with(here)) => {
                    let attributes = Attributes { mode: FileType::Directory.as_raw_mode() | 0o755, uid: 0, gid: 0 };
                    Ok(Step::Dir(Vec::new(), attributes))
                }
                step => Ok(step),
            },
        }
    }
}

enum Step {
    Absent,
    Unknown,
    Dir(Merged, Attributes),
    Link(PathBuf),
    File(Place, Attributes),
}

/// overlayfs.rst, "Merging": the topmost entry decides; directories merge down to the first that is opaque or is none.
fn merge(dir: &Rc<Merged>, name: &OsStr) -> sys::Result<Step> {
    let mut merged: Option<(Merged, Attributes)> = None;
    for (at, (layer, marks)) in dir.iter().enumerate() {
        let stat = match marks.look(layer, name)? {
            Seen::Nothing => continue,
            Seen::Hidden => break,
            Seen::Entry(stat) => stat,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let inner = dirfs::open_dir(layer, name)?;
            let last = at + 1 == dir.len() || marks.is_opaque(&inner);
            merged.get_or_insert_with(|| (vec![], stat.into())).0.push((inner, *marks));
            if last {
                break;
            }
            continue;
        }
        if merged.is_some() {
            break;
        }
        if kind == FileType::Symlink {
            let target =
                fs::readlinkat(layer, name, vec![]).map_err(sys::Error::of(|| format!("readlinkat({name:?})")))?;
            return Ok(Step::Link(OsString::from_vec(target.into_bytes()).into()));
        }
        return Ok(Step::File(Place::Entry(dir.clone(), at, name.to_owned()), stat.into()));
    }
    Ok(merged.map_or(Step::Absent, |(dirs, stat)| Step::Dir(dirs, stat)))
}

/// Where a path without links is in this layer, and whether nothing of it shows through from those below.
fn part(layer: &Path, relative: &Path) -> (Option<PathBuf>, bool) {
    let (mut at, mut covers) = (layer.to_owned(), false);
    let marks = dirfs::open_root(layer).and_then(Marks::of).unwrap_or_default();
    for name in relative {
        let hidden = marks == Marks::Names && at.join(sys::mark::whiteout(name)).symlink_metadata().is_ok();
        at.push(name);
        match at.symlink_metadata() {
            Err(_) => return (None, covers || hidden),
            Ok(found) if !found.is_dir() => {
                let whole = at == layer.join(relative) && !found.file_type().is_char_device();
                return (whole.then_some(at), true);
            }
            Ok(_) => covers |= dirfs::open_root(&at).is_ok_and(|dir| marks.is_opaque(dir)),
        }
    }
    (Some(at), covers)
}

fn mounted(source: &Path) -> sys::Result<Step> {
    let stat = match fs::stat(source) {
        Ok(stat) => stat,
        // A missing source is made, or refused, by who mounts it.
        Err(Errno::NOENT) => return Ok(Step::Unknown),
        Err(errno) => return Err(sys::Error::new(format!("stat({source:?})"), errno)),
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Ok(Step::Dir(vec![(dirfs::open_root(source)?, Marks::Overlay)], stat.into()));
    }
    Ok(Step::File(Place::Host(Some(source.to_owned())), stat.into()))
}

fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.as_os_str().as_bytes().split(|b| *b == b'/');
    names.filter(|name| !matches!(*name, b"" | b".")).map(|name| OsStr::from_bytes(name).to_owned()).collect()
}

fn full(trail: &[(OsString, Rc<Merged>, Attributes)], last: &OsStr) -> PathBuf {
    let mut path = PathBuf::from("/");
    path.extend(trail.iter().map(|(name, ..)| name));
    if !last.is_empty() {
        path.push(last);
    }
    path
}

impl Node {
    #[must_use]
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.attributes.mode)
    }

    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// `None` unless it is a regular file that this process may read.
    pub(crate) fn open(&self) -> Result<Option<File>> {
        if self.kind() != FileType::RegularFile {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match &self.place {
            Place::Entry(dir, at, name) => {
                fs::openat(&dir[*at].0, name.as_os_str(), flags | OFlags::NOFOLLOW, Mode::empty())
            }
            Place::Host(Some(path)) => fs::open(path, flags, Mode::empty()),
            Place::Host(None) => return Ok(None),
        };
        match file {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::ACCESS | Errno::PERM) => Ok(None),
            Err(errno) => Err(sys::Error::new(format!("open({:?})", self.path), errno).into()),
        }
    }
}
