//! The view of the host, mounted as the child of a container would mount it, and read as its root would read it.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use image::host::{self, Entry, Frame, Guest, View};
use image::unpack::Rights;
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::thread::{CapabilitySet, Gid, Uid, capabilities, set_capabilities, set_thread_res_gid, set_thread_res_uid};
use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const INSIDE: &str = "SAMPAN_TEST_VIEW";

fn overlay(target: &Path, options: &str, userxattr: bool) {
    let options = if userxattr { format!("{options},userxattr") } else { options.to_owned() };
    mount("overlay", target, "overlay", MountFlags::empty(), Some(&*CString::new(options.clone()).unwrap()))
        .unwrap_or_else(|errno| panic!("mount overlay on {target:?}, {options}: {errno}"));
}

/// With that user's rights on files, and the one to mount: all others leave the effective set with uid 0, and come back
/// with it (capabilities(7), "Effect of user ID changes to capabilities").
fn as_reader(uid: u32, gid: u32, act: impl FnOnce()) {
    let become_effective = |uid, gid| {
        set_thread_res_gid(None, Gid::from_raw(gid), None).unwrap();
        set_thread_res_uid(None, Uid::from_raw(uid), None).unwrap();
    };
    become_effective(uid, gid);
    let mut sets = capabilities(None).unwrap();
    sets.effective |= CapabilitySet::SYS_ADMIN | CapabilitySet::SETGID;
    set_capabilities(None, sets).unwrap();
    act();
    become_effective(0, 0);
}

/// What a container's child does, with paths instead of descriptors.
fn build(view: &View, base: &Path, userxattr: bool) -> PathBuf {
    mount("tmpfs", base, "tmpfs", MountFlags::empty(), Some(c"mode=755")).unwrap();
    let root = base.join("root");
    fs::create_dir(&root).unwrap();
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap());
    for entry in &view.frame {
        match entry {
            Frame::Dir { path, mode, .. } => {
                fs::create_dir(inside(path)).unwrap();
                fs::set_permissions(inside(path), fs::Permissions::from_mode(*mode)).unwrap();
            }
            Frame::Link { path, target } => std::os::unix::fs::symlink(target, inside(path)).unwrap(),
            Frame::File { path } => {
                fs::write(inside(path), "").unwrap();
                mount_bind(path, inside(path)).unwrap();
            }
        }
    }
    for (n, unit) in view.units.iter().enumerate() {
        let dir = base.join(n.to_string());
        for name in ["", "veil", "inner", "upper", "work"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        unit.write_veil(fs::File::open(dir.join("veil")).unwrap().as_fd()).unwrap();
        if let Some(Entry::Dir { mode, uid, gid, .. }) = unit.veil.first() {
            let _ = chown(dir.join("upper"), Some(*uid), Some(*gid));
            fs::set_permissions(dir.join("upper"), fs::Permissions::from_mode(*mode)).unwrap();
        }
        let mut lower = format!("{}:{}", dir.join("veil").display(), unit.at.display());
        if let Some(reader) = unit.reader {
            as_reader(reader.uid, reader.gid, || overlay(&dir.join("inner"), &format!("lowerdir={lower}"), userxattr));
            lower = dir.join("inner").display().to_string();
        }
        let (upper, work) = (dir.join("upper"), dir.join("work"));
        let options = format!("lowerdir={lower},upperdir={},workdir={}", upper.display(), work.display());
        overlay(&inside(&unit.at), &options, userxattr);
    }
    root
}

/// Runs this test again inside new namespaces.
fn again(test: &str, dir: &Path, command: &[&str]) {
    let exe = dir.join("test");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    let mut command = command.iter();
    let output = Command::new(command.next().unwrap())
        .args(command)
        .arg(&exe)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| line.starts_with("  ")).for_each(|line| println!("{line}"));
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn readable(path: &Path) -> bool {
    fs::read(path).is_ok()
}

#[test]
fn as_root() {
    let secret = Path::new("/var/lib/sampan-test-secret");
    let Some(dir) = std::env::var_os(INSIDE).map(PathBuf::from) else {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root");
        }
        let dir = directory("root");
        // Deeper than the veil looks, closed by its mode alone, as a database's files are.
        let deep = secret.join("a/b/c/d");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "secret").unwrap();
        fs::set_permissions(deep.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir_all("/root/.ssh-sampan-test").unwrap();
        let result =
            std::panic::catch_unwind(|| again("as_root", &dir, &["unshare", "-m", "--propagation", "private"]));
        fs::remove_dir("/root/.ssh-sampan-test").unwrap();
        sys::tree::remove_path(secret).unwrap();
        sys::tree::remove_path(&dir).unwrap();
        return result.unwrap();
    };
    let own = [PathBuf::from("/root/.ssh-sampan-test")];
    let guest =
        Guest { uid: 0, gid: 0, home: Some(Path::new("/root")), own: &own, rights: Rights::Root, locked: false };
    let start = Instant::now();
    let view = host::view(&guest).unwrap();
    let took = start.elapsed();
    let entries: usize = view.units.iter().map(|unit| unit.veil.len()).sum();
    println!("  view: {took:?}, {entries} entries in {} units", view.units.len());
    let start = Instant::now();
    host::view(&guest).unwrap();
    println!("  view again: {:?}", start.elapsed());
    let start = Instant::now();
    let root = build(&view, &dir, false);
    println!("  built and mounted: {:?}", start.elapsed());

    assert!(readable(&root.join("etc/passwd")));
    for path in ["etc/shadow", "etc/gshadow", "var/lib/sampan-test-secret/a/b/c/d/file", "lost+found"] {
        assert!(Path::new("/").join(path).exists(), "the test needs /{path}");
        assert!(!readable(&root.join(path)) && fs::read_dir(root.join(path)).is_err(), "/{path} can be read");
    }
    assert!(root.join("var/lib/sampan-test-secret/a/b/c/d/file").exists());
    assert!(!root.join("root/.ssh-sampan-test").exists());
    assert!(fs::read_dir(root.join("root")).is_ok(), "the own home cannot be read");
    every_closed_file_stays_closed(Path::new("/etc"), &root.join("etc"));
    for path in ["", "etc", "var", "var/lib", "root", "tmp"] {
        let (there, here) = (fs::metadata(Path::new("/").join(path)).unwrap(), fs::metadata(root.join(path)).unwrap());
        assert_eq!((there.mode(), there.uid(), there.gid()), (here.mode(), here.uid(), here.gid()), "/{path}");
    }
    // Copy on write, as a package manager would use it.
    fs::write(root.join("etc/shadow"), "new").unwrap();
    fs::write(root.join("etc/sampan-test"), "new").unwrap();
    fs::rename(root.join("etc/sampan-test"), root.join("etc/sampan-test-2")).unwrap();
    fs::remove_file(root.join("etc/passwd")).unwrap();
    fs::write(root.join("root/new"), "").unwrap();
    fs::create_dir_all(root.join("var/cache/apt/archives/partial")).unwrap();
    assert!(readable(Path::new("/etc/passwd")) && !Path::new("/etc/sampan-test-2").exists());
    assert!(!Path::new("/root/new").exists());
}

fn every_closed_file_stays_closed(host: &Path, view: &Path) {
    for entry in fs::read_dir(host).unwrap().flatten() {
        let meta = entry.metadata().unwrap();
        let here = view.join(entry.file_name());
        if meta.is_dir() {
            every_closed_file_stays_closed(&entry.path(), &here);
        } else if meta.is_file() && meta.mode() & 0o004 == 0 {
            assert!(!readable(&here), "{here:?} can be read");
        }
    }
}

#[test]
fn as_a_user_in_a_user_namespace() {
    let Some(dir) = std::env::var_os(INSIDE).map(PathBuf::from) else {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: needs root, to become another user");
        }
        let dir = directory("user");
        chown(&dir, Some(1234), Some(1234)).unwrap();
        let home = dir.join("home");
        for (path, content) in
            [(".ssh/id", "key"), (".bash_history", "x"), ("work/file", "mine"), (".local/share/sampan/x", "")]
        {
            let path = home.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        // Not under /tmp, which the view has afresh.
        assert!(Command::new("chown").args(["-R", "1234:1234"]).arg(&home).status().unwrap().success());
        let user = ["setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups"];
        let command: Vec<&str> = user.into_iter().chain(["unshare", "-Urm", "--propagation", "private"]).collect();
        let result = std::panic::catch_unwind(|| again("as_a_user_in_a_user_namespace", &dir, &command));
        sys::tree::remove_path(&dir).unwrap();
        return result.unwrap();
    };
    let home = dir.join("home");
    let own = [home.join(".local/share/sampan")];
    let rights = Rights::current();
    assert_eq!(rights, Rights::Mapped);
    let guest = Guest { uid: 1234, gid: 1234, home: Some(&home), own: &own, rights, locked: true };
    let start = Instant::now();
    let view = host::view(&guest).unwrap();
    println!("  view: {:?}, {} units, {} in the frame", start.elapsed(), view.units.len(), view.frame.len());
    let base = dir.join("base");
    fs::create_dir(&base).unwrap();
    let start = Instant::now();
    let root = build(&view, &base, true);
    println!("  built and mounted: {:?}", start.elapsed());
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap());
    assert!(
        readable(&root.join("etc/passwd")) && !readable(&root.join("etc/shadow")) && root.join("usr/bin/env").exists()
    );
    assert!(readable(&inside(&home.join("work/file"))));
    for path in [".ssh", ".bash_history", ".local/share/sampan"] {
        assert!(home.join(path).exists() && !inside(&home.join(path)).exists(), "{path}");
    }
    fs::write(inside(&home.join("work/file")), "changed").unwrap();
    assert_eq!(fs::read(home.join("work/file")).unwrap(), b"mine");
    fs::write(root.join("etc/new"), "").unwrap();
}

/// Where the view shows it: not in /tmp.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(format!("/var/lib/sampan-test-{name}-{}", std::process::id()));
    fs::create_dir(&path).unwrap();
    path
}

#[test]
fn a_veil_has_parents_first_and_each_path_once() {
    let guest = Guest { uid: 0, gid: 0, home: None, own: &[], rights: Rights::Root, locked: true };
    let view = host::view(&guest).unwrap();
    for unit in &view.units {
        let mut seen = HashMap::new();
        for entry in &unit.veil {
            let (path, is_dir) = match entry {
                Entry::Dir { path, .. } => (path, true),
                Entry::Whiteout { path } => (path, false),
            };
            let parent = path.parent();
            assert!(parent.is_none_or(|parent| seen.get(parent) == Some(&true)), "{path:?}");
            assert_eq!(seen.insert(path.clone(), is_dir), None, "{path:?}");
        }
    }
}
