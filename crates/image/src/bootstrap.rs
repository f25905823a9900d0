//! Images made from what this machine has, without a registry.
//!
//! Invariant: the same busybox gives the same digests, on any day and for any user.

use crate::elf;
use crate::error::{Error, Kind, Result};
use crate::layer::Expected;
use crate::store::Writer;
use flate2::{Compression, GzBuilder};
use spec::image::{Execution, History, ImageConfig, Platform};
use spec::{Digest, Reference};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tar::{Builder, EntryType, Header};

const PLACES: [&str; 5] = ["/bin", "/usr/bin", "/usr/local/bin", "/usr/lib/initramfs-tools/bin", "/usr/sbin"];
/// Fedora's package calls its static binary `busybox` too; others have it beside a dynamic one.
const NAMES: [&str; 3] = ["busybox", "busybox-static", "busybox.static"];
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const HINT: &str =
    "apt-get install busybox-static (Debian, Ubuntu), dnf install busybox (Fedora), apk add busybox-static (Alpine)";

const DIRS: [(&str, u32); 17] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("usr/local", 0o755),
    ("usr/local/bin", 0o755),
    ("var", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

const FILES: [(&str, &str); 4] = [
    ("etc/group", "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n"),
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
         www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    ),
    ("etc/profile", "export PS1='\\u@\\h:\\w\\$ '\n"),
    ("etc/services", "http 80/tcp\nhttps 443/tcp\ndomain 53/tcp\ndomain 53/udp\n"),
];

/// Makes the image `name` from this machine's static busybox. `path` is the caller's PATH. Returns the manifest's
/// digest and the binary it was made from.
///
/// # Errors
/// [`Kind::Missing`] if there is none that is statically linked and for this machine; as [`Writer::import_layer`].
pub fn busybox(writer: &Writer, name: &Reference, path: Option<&str>) -> Result<(Digest, PathBuf)> {
    let binary = find(path)?;
    let image = |error: std::io::Error| {
        Error::new(Kind::System, format!("cannot make an image of {}", binary.display()), error.to_string())
    };
    let layer = rootfs(&binary).map_err(image)?;
    let layer = writer.import_layer(layer.as_slice(), None, Expected::default())?;
    let config = ImageConfig {
        platform: Platform::native(),
        config: Execution { cmd: vec!["sh".into()], env: vec![PATH.into()], ..Execution::default() },
        history: vec![History { created_by: "sampan image bootstrap busybox".into(), ..History::default() }],
        ..ImageConfig::default()
    };
    Ok((writer.put(Some(name), config, &[layer])?.manifest, binary))
}

fn find(path: Option<&str>) -> Result<PathBuf> {
    let dirs = path.unwrap_or_default().split(':').filter(|dir| dir.starts_with('/')).chain(PLACES);
    let mut rejected = None;
    for candidate in dirs.flat_map(|dir| NAMES.map(|name| Path::new(dir).join(name))) {
        let Some(elf) = File::open(&candidate).ok().and_then(|file| elf::read(&file)) else {
            continue;
        };
        match elf {
            elf if !elf.is_native() => {
                rejected = Some(format!("{} is for {}", candidate.display(), elf.machine_name()))
            }
            elf if elf.interpreter.is_some() => {
                rejected = Some(format!("{} is dynamically linked", candidate.display()))
            }
            _ => return Ok(candidate),
        }
    }
    let why = rejected.unwrap_or_else(|| "there is none on this machine".to_owned());
    Err(Error::new(Kind::Missing, "cannot find a static busybox", why).hint(HINT))
}

fn rootfs(binary: &Path) -> std::io::Result<Vec<u8>> {
    // No name and time in the gzip header, so that only the content counts.
    let mut tar = Builder::new(GzBuilder::new().mtime(0).write(Vec::new(), Compression::default()));
    for (path, mode) in DIRS {
        tar.append_data(&mut header(EntryType::Directory, mode, 0), format!("{path}/"), std::io::empty())?;
    }
    for (path, text) in FILES {
        tar.append_data(&mut header(EntryType::Regular, 0o644, text.len() as u64), path, text.as_bytes())?;
    }
    let mut program = Vec::new();
    File::open(binary)?.read_to_end(&mut program)?;
    tar.append_data(&mut header(EntryType::Regular, 0o755, program.len() as u64), "bin/busybox", program.as_slice())?;
    let link = |tar: &mut Builder<_>, path: &str, target: &str| {
        tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)
    };
    for applet in applets(binary)? {
        link(&mut tar, &format!("bin/{applet}"), "busybox")?;
    }
    // Where scripts look for it.
    link(&mut tar, "usr/bin/env", "../../bin/busybox")?;
    let mut packed = tar.into_inner()?;
    packed.flush()?;
    packed.finish()
}

fn applets(binary: &Path) -> std::io::Result<Vec<String>> {
    let output = Command::new(binary).arg("--list").stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let plain = |name: &&str| !name.is_empty() && *name != "busybox" && !name.contains('/');
    let mut names: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().filter(plain).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(std::io::Error::other("busybox --list names no applets"));
    }
    Ok(names)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
