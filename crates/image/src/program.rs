//! Whether a container's first program can run, found out before anything is touched.
//!
//! Invariant: a refusal is certain. Whatever cannot be known (files this user may not read, mounts that only the
//! container will have) passes, and execve has the last word.

use crate::elf;
use crate::error::Result;
use crate::rootfs::{Attributes, Found, Node, Rootfs};
use crate::user::User;
use rustix::fs::FileType;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Scripts that name scripts: the kernel's limit (execve(2)).
const MAX_SCRIPTS: usize = 5;
/// What the kernel reads of a file to tell its format (BINPRM_BUF_SIZE).
const HEAD: usize = 256;
/// execvp(3)'s, where the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program cannot run. [`Refusal::exit_code`] is docker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No such file, or not in any directory of PATH.
    NotFound {
        program: String,
        searched: Option<String>,
    },
    /// A link to nowhere.
    Dangling {
        path: PathBuf,
        target: PathBuf,
    },
    IsDirectory {
        path: PathBuf,
    },
    NotAFile {
        path: PathBuf,
    },
    /// No execute permission for that user.
    NotExecutable {
        path: PathBuf,
    },
    /// `#!` or `PT_INTERP` names a program that is not there.
    NoInterpreter {
        path: PathBuf,
        interpreter: String,
        script: bool,
    },
    /// The interpreter's line ends in a carriage return.
    CarriageReturn {
        path: PathBuf,
        interpreter: String,
    },
    /// An ELF file of another machine, and no binfmt_misc handler for it.
    WrongArchitecture {
        path: PathBuf,
        machine: String,
    },
    /// Neither ELF nor script.
    UnknownFormat {
        path: PathBuf,
        empty: bool,
    },
}

impl Refusal {
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. }
            | Self::Dangling { .. }
            | Self::NoInterpreter { .. }
            | Self::CarriageReturn { .. } => 127,
            _ => 126,
        }
    }

    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::IsDirectory { .. } => Some("name a program in it".into()),
            Self::NotFound { program, searched } => Some(spelling(program, searched.is_some())),
            Self::Dangling { target, .. } => Some(format!("put {} into the image, or mount it", target.display())),
            Self::NotExecutable { path } => Some(format!("chmod +x {} when the image is built", path.display())),
            Self::NoInterpreter { script: false, .. } => {
                Some("the program was linked for another distribution; link it statically or use an image that has its C library".into())
            }
            Self::NoInterpreter { script: true, .. } => Some("put the interpreter into the image, or change the first line".into()),
            Self::CarriageReturn { path, .. } => Some(format!("sed -i 's/\\r$//' {}", path.display())),
            Self::WrongArchitecture { machine, .. } => {
                Some(format!("use an image for {}, or install qemu-user-static for {machine}", std::env::consts::ARCH))
            }
            Self::UnknownFormat { .. } => Some("a script needs a first line such as #!/bin/sh".into()),
            _ => None,
        }
    }
}

impl Refusal {
    /// What cannot be executed: as it was asked for, or where it is.
    #[must_use]
    pub fn program(&self) -> String {
        match self {
            Self::NotFound { program, .. } => program.clone(),
            Self::IsDirectory { path }
            | Self::NotAFile { path }
            | Self::Dangling { path, .. }
            | Self::NotExecutable { path }
            | Self::NoInterpreter { path, .. }
            | Self::CarriageReturn { path, .. }
            | Self::WrongArchitecture { path, .. }
            | Self::UnknownFormat { path, .. } => path.display().to_string(),
        }
    }

    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::NotFound { searched: Some(path), .. } => format!("executable file not found in $PATH ({path})"),
            Self::NotFound { searched: None, .. } => "no such file or directory".to_owned(),
            Self::Dangling { target, .. } => format!("it is a link to {}, which is not there", target.display()),
            Self::IsDirectory { .. } => "is a directory".to_owned(),
            Self::NotAFile { .. } => "not a regular file".to_owned(),
            Self::NotExecutable { .. } => "permission denied".to_owned(),
            Self::NoInterpreter { interpreter, script, .. } => {
                let what = if *script { "interpreter" } else { "dynamic loader" };
                format!("its {what} {interpreter} is not in the root filesystem")
            }
            Self::CarriageReturn { interpreter, .. } => {
                format!("its first line ends in CR LF, so the interpreter would be {interpreter:?}")
            }
            Self::WrongArchitecture { machine, .. } => {
                format!("it is for {machine}, this machine is {}", std::env::consts::ARCH)
            }
            Self::UnknownFormat { empty, .. } => {
                let what = if *empty { "the file is empty" } else { "neither an ELF program nor a script" };
                format!("exec format error: {what}")
            }
        }
    }
}

/// What a shell does itself (POSIX, 2.14 and "Utilities"), and no image has as a program.
const BUILTINS: [&str; 14] =
    [".", "alias", "bg", "cd", "eval", "exec", "exit", "export", "fg", "set", "source", "ulimit", "umask", "unset"];

/// What was meant, as far as the word shows it.
fn spelling(program: &str, searched: bool) -> String {
    if program.starts_with('-') {
        return "behind the image comes the command: write flags of sampan before the image".to_owned();
    }
    if BUILTINS.contains(&program) {
        return format!("{program} is a word of the shell's: sh -c '{program} ...'");
    }
    if program.contains([' ', '\t', '\n', ';', '|', '&', '<', '>', '$']) {
        return format!("a line with several words is for a shell: sh -c {program:?}");
    }
    let more = if searched { ", or give the program's full path" } else { "; the path is the container's" };
    format!("check the spelling{more}")
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot execute {}: {}", self.program(), self.why())
    }
}

/// Finds `program` as execvp(3) would: with a slash relative to `cwd`, else along `path` (the container's PATH).
/// Returns the path to give to execve, or why nothing can be executed.
///
/// # Errors
/// The layers cannot be read.
pub fn find(
    rootfs: &Rootfs,
    program: &str,
    cwd: &Path,
    path: Option<&str>,
    user: &User,
) -> Result<std::result::Result<PathBuf, Refusal>> {
    let cwd = Path::new("/").join(cwd);
    if program.contains('/') {
        let full = cwd.join(program);
        let absent = Refusal::NotFound { program: program.to_owned(), searched: None };
        return Ok(match candidate(rootfs, &full, user)? {
            Candidate::Absent => Err(absent),
            Candidate::Dangling(target) => Err(Refusal::Dangling { path: full, target }),
            Candidate::Refused(refusal) => Err(refusal),
            Candidate::Fits => Ok(full),
        });
    }
    let path = path.unwrap_or(DEFAULT_PATH);
    let mut denied = None;
    for dir in path.split(':') {
        let full = cwd.join(dir).join(program);
        match candidate(rootfs, &full, user)? {
            Candidate::Fits => return Ok(Ok(full)),
            Candidate::Absent => {}
            Candidate::Dangling(target) => denied = denied.or(Some(Refusal::Dangling { path: full, target })),
            // As a shell does: go on where the file may not be executed, but say so if nothing better comes.
            Candidate::Refused(refusal @ Refusal::NotExecutable { .. }) => denied = denied.or(Some(refusal)),
            Candidate::Refused(Refusal::IsDirectory { .. } | Refusal::NotAFile { .. }) => {}
            Candidate::Refused(refusal) => return Ok(Err(refusal)),
        }
    }
    let searched = Some(path.to_owned());
    Ok(Err(denied.unwrap_or(Refusal::NotFound { program: program.to_owned(), searched })))
}

enum Candidate {
    Fits,
    Absent,
    Dangling(PathBuf),
    Refused(Refusal),
}

fn candidate(rootfs: &Rootfs, path: &Path, user: &User) -> Result<Candidate> {
    Ok(match rootfs.find(path)? {
        Found::Absent => rootfs.dangling(path)?.map_or(Candidate::Absent, Candidate::Dangling),
        Found::Unknown => Candidate::Fits,
        Found::Node(node) => match check(rootfs, path, &node, user, 0)? {
            Ok(()) => Candidate::Fits,
            Err(refusal) => Candidate::Refused(refusal),
        },
    })
}

fn check(
    rootfs: &Rootfs,
    path: &Path,
    node: &Node,
    user: &User,
    depth: usize,
) -> Result<std::result::Result<(), Refusal>> {
    let path = path.to_owned();
    match node.kind() {
        FileType::RegularFile => {}
        FileType::Directory => return Ok(Err(Refusal::IsDirectory { path })),
        _ => return Ok(Err(Refusal::NotAFile { path })),
    }
    if !may_execute(node, user) {
        return Ok(Err(Refusal::NotExecutable { path }));
    }
    let Some(file) = node.open()? else { return Ok(Ok(())) };
    if let Some(elf) = elf::read(&file) {
        let head = head(&file);
        if !elf.is_native() && !has_handler(&head, &path) {
            return Ok(Err(Refusal::WrongArchitecture { path, machine: elf.machine_name() }));
        }
        return match elf.interpreter {
            Some(interpreter) if elf.is_native() => missing(rootfs, path, interpreter, false),
            _ => Ok(Ok(())),
        };
    }
    let head = head(&file);
    let Some(line) = head.strip_prefix(b"#!") else {
        let refused = !has_handler(&head, &path);
        return Ok(if refused { Err(Refusal::UnknownFormat { path, empty: head.is_empty() }) } else { Ok(()) });
    };
    let line = String::from_utf8_lossy(line.split(|b| *b == b'\n').next().unwrap_or_default());
    let interpreter = line.trim_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default().to_owned();
    script(rootfs, path, interpreter, user, depth)
}

fn script(
    rootfs: &Rootfs,
    path: PathBuf,
    interpreter: String,
    user: &User,
    depth: usize,
) -> Result<std::result::Result<(), Refusal>> {
    match rootfs.find(Path::new(&interpreter))? {
        _ if interpreter.is_empty() => Ok(Err(Refusal::UnknownFormat { path, empty: false })),
        Found::Absent if interpreter.ends_with('\r') => Ok(Err(Refusal::CarriageReturn { path, interpreter })),
        Found::Absent => Ok(Err(Refusal::NoInterpreter { path, interpreter, script: true })),
        Found::Unknown => Ok(Ok(())),
        Found::Node(_) if depth == MAX_SCRIPTS => Ok(Err(Refusal::UnknownFormat { path, empty: false })),
        Found::Node(node) => check(rootfs, Path::new(&interpreter), &node, user, depth + 1),
    }
}

fn missing(
    rootfs: &Rootfs,
    path: PathBuf,
    interpreter: String,
    script: bool,
) -> Result<std::result::Result<(), Refusal>> {
    Ok(match rootfs.find(Path::new(&interpreter))? {
        Found::Absent => Err(Refusal::NoInterpreter { path, interpreter, script }),
        _ => Ok(()),
    })
}

/// Root may execute whatever anyone may (capabilities(7), CAP_DAC_OVERRIDE); others by the class that fits first.
fn may_execute(node: &Node, user: &User) -> bool {
    let Attributes { mode, uid, gid } = node.attributes;
    // In layers of an ordinary user all files carry that user's ids, which a container of one id sees as root's.
    let foreign = uid != 0 && !rustix::process::geteuid().is_root();
    if user.uid == 0 || foreign {
        mode & 0o111 != 0
    } else if uid == user.uid {
        mode & 0o100 != 0
    } else if gid == user.gid || user.additional_gids.contains(&gid) {
        mode & 0o010 != 0
    } else {
        mode & 0o001 != 0
    }
}

fn head(file: &fs::File) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD);
    let _ = file.take(HEAD as u64).read_to_end(&mut head);
    head
}

/// Whether a binfmt_misc handler takes the file (Documentation/admin-guide/binfmt-misc.rst): qemu's for foreign
/// programs, Java's and the like for other formats.
fn has_handler(head: &[u8], path: &Path) -> bool {
    let Ok(entries) = fs::read_dir("/proc/sys/fs/binfmt_misc") else {
        return false;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name() != "register" && entry.file_name() != "status")
        .any(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| handles(&text, head, path)))
}

fn handles(handler: &str, head: &[u8], path: &Path) -> bool {
    let field = |name: &str| handler.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if !handler.starts_with("enabled") {
        return false;
    }
    if let Some(extension) = field("extension ") {
        return path.extension().is_some_and(|have| have == extension.trim_start_matches('.'));
    }
    let hex = |text: &str| -> Option<Vec<u8>> {
        let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
        Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
    };
    let Some(magic) = field("magic ").and_then(hex) else {
        return false;
    };
    let mask = field("mask ").and_then(hex).unwrap_or_else(|| vec![0xff; magic.len()]);
    let offset: usize = field("offset ").and_then(|text| text.parse().ok()).unwrap_or(0);
    let Some(bytes) = head.get(offset..offset + magic.len()) else {
        return false;
    };
    bytes.iter().zip(&magic).zip(&mask).all(|((byte, magic), mask)| byte & mask == magic & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_takes_what_its_mask_lets_through() {
        let handler = "enabled\ninterpreter /usr/bin/qemu\nflags: F\noffset 1\nmagic 454c\nmask ff0f\n";
        assert!(handles(handler, b"\x7fE\x7c", Path::new("/x")));
        assert!(!handles(handler, b"\x7fE\x7d", Path::new("/x")));
        assert!(!handles(&handler.replace("enabled", "disabled"), b"\x7fEL", Path::new("/x")));
        assert!(handles("enabled\nextension .jar\n", b"", Path::new("/a.jar")));
    }
}
