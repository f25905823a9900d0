//! A Linux kernel to boot, with the modules that the machine needs: that of a folder, this host's own, or Debian's.

use crate::command;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with `boot/vmlinuz-VERSION` and `lib/modules/VERSION`, as a kernel's package has them.
pub const VARIABLE: &str = "SAMPAN_LAB_KERNEL";

/// Debian's, small and quick to boot.
const PACKAGE: &str = "linux-image-cloud-amd64";

#[derive(Debug)]
pub struct Kernel {
    pub image: PathBuf,
    /// `lib/modules/VERSION`.
    modules: PathBuf,
    /// What each needs, by the file's name below `modules`.
    needs: BTreeMap<String, Vec<String>>,
}

/// # Errors
/// There is none, and how one can be had.
pub fn find(cache: &Path) -> Result<Kernel, String> {
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return of(Path::new(&folder));
    }
    let missing = |why: &str| {
        format!(
            "no kernel to boot: {why}; set {VARIABLE} to a folder with boot/vmlinuz-VERSION and lib/modules/VERSION"
        )
    };
    of(Path::new("/")).or_else(|_| of(cache)).or_else(|why| {
        if command::find("apt-get").is_none() || command::find("dpkg-deb").is_none() {
            return Err(missing(&why));
        }
        download(cache).and_then(|()| of(cache)).map_err(|why| missing(&why))
    })
}

/// Unpacked, not installed.
fn download(cache: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", cache.display());
    fs::create_dir_all(cache).map_err(failed)?;
    let depends = command::output(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let named = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = named.filter(|name| name.starts_with("linux-image-")).ok_or("apt knows no kernel")?;
    println!("fetching {package}");
    command::output(Command::new("apt-get").args(["download", "-q", package]).current_dir(cache))?;
    for entry in fs::read_dir(cache).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            command::output(Command::new("dpkg-deb").arg("-x").arg(&file).arg(cache))?;
            fs::remove_file(file).map_err(failed)?;
        }
    }
    Ok(())
}

fn of(root: &Path) -> Result<Kernel, String> {
    let boot = root.join("boot");
    let entries = fs::read_dir(&boot).map_err(|error| format!("cannot read {}: {error}", boot.display()))?;
    let mut versions: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()))
        .collect();
    versions.sort();
    let places = |version: &str| ["lib/modules", "usr/lib/modules"].map(|place| root.join(place).join(version));
    let found = versions.iter().rev().find_map(|version| {
        let modules = places(version).into_iter().find(|modules| modules.join("kernel").is_dir())?;
        Some((boot.join(format!("vmlinuz-{version}")), modules))
    });
    let (image, modules) = found.ok_or_else(|| format!("{} has no vmlinuz with its modules", boot.display()))?;
    let needs = needs(&modules)?;
    Ok(Kernel { image, modules, needs })
}

/// modules.dep(5), which an unpacked package has not yet.
fn needs(modules: &Path) -> Result<BTreeMap<String, Vec<String>>, String> {
    let file = modules.join("modules.dep");
    if !file.exists() {
        let base = modules.ancestors().nth(3).unwrap_or(modules);
        let version = modules.file_name().unwrap_or_default();
        command::output(Command::new("busybox").arg("depmod").arg("-b").arg(base).arg(version))?;
    }
    let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let line = |line: &str| {
        let (name, needs) = line.split_once(':')?;
        Some((name.to_owned(), needs.split_whitespace().map(str::to_owned).collect()))
    };
    Ok(text.lines().filter_map(line).collect())
}

impl Kernel {
    /// Puts the modules of these names, and what they need, into `folder` in the order in which they can be loaded. One
    /// that is not there is built in.
    ///
    /// # Errors
    /// One cannot be read, or not be unpacked.
    pub fn modules(&self, names: &[&str], folder: &Path) -> Result<(), String> {
        fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let mut order = Vec::new();
        for name in names {
            let file = self.needs.keys().find(|file| stem(file) == *name);
            file.iter().for_each(|file| self.visit(file, &mut order));
        }
        for (number, file) in order.iter().enumerate() {
            let to = folder.join(format!("{number:02}-{}.ko", stem(file)));
            self.unpack(file, &to)?;
        }
        Ok(())
    }

    fn visit<'a>(&'a self, file: &'a str, order: &mut Vec<&'a str>) {
        if order.contains(&file) {
            return;
        }
        self.needs.get(file).into_iter().flatten().for_each(|need| self.visit(need, order));
        order.push(file);
    }

    fn unpack(&self, file: &str, to: &Path) -> Result<(), String> {
        let from = self.modules.join(file);
        let failed = |error: std::io::Error| format!("cannot copy {}: {error}", from.display());
        let program = match from.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => "xz",
            Some("zst") => "zstd",
            Some("gz") => "gzip",
            _ => return fs::copy(&from, to).map(drop).map_err(failed),
        };
        let out = fs::File::create(to).map_err(failed)?;
        command::succeed(Command::new(program).arg("-dc").arg(&from).stdout(out))
    }
}

/// The module's name: files have either sign.
fn stem(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or_default();
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}
