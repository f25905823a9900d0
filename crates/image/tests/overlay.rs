//! Unpacked layers under a real overlayfs, as root and as an ordinary user, and what other tools make of the store.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod archive;

use archive::{Dir, entry, entry_of};
use image::{Expected, Kind, Rootfs, Store, bootstrap, program, user};
use rustix::mount::{MountFlags, mount};
use spec::Reference;
use spec::image::{ImageConfig, Platform};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tar::EntryType::{Directory, Regular};

const INSIDE: &str = "SAMPAN_TEST_OVERLAY";

fn name() -> Reference {
    "example.test/two:layers".parse().unwrap()
}

/// A lower layer, and one that takes from it, replaces and hides.
fn import(store: &Store) {
    let writer = store.writer().unwrap();
    let layer = |parent, paths: &[(&str, tar::EntryType, &[u8])]| {
        let mut tar = vec![];
        paths.iter().for_each(|(path, kind, content)| entry(&mut tar, path, *kind, "", content));
        tar.resize(tar.len() + 1024, 0);
        writer.import_layer(tar.as_slice(), parent, Expected::default()).unwrap()
    };
    let bottom = layer(
        None,
        &[
            ("keep/file", Regular, b"kept"),
            ("drop/file", Regular, b"dropped"),
            ("drop/stays", Regular, b"stays"),
            ("opaque/below", Regular, b"below"),
            ("again/below", Regular, b"below"),
            ("gone/file", Regular, b"x"),
        ],
    );
    let top = layer(
        Some(&bottom.chain_id),
        &[
            ("keep/more", Regular, b"more"),
            ("drop/.wh.file", Regular, b""),
            ("opaque/.wh..wh..opq", Regular, b""),
            ("opaque/above", Regular, b"above"),
            (".wh.again", Regular, b""),
            ("again/", Directory, b""),
            (".wh.gone", Regular, b""),
        ],
    );
    let config = ImageConfig { platform: Platform::native(), ..ImageConfig::default() };
    writer.put(Some(&name()), config, &[bottom, top]).unwrap();
}

fn check(dir: &Path, userxattr: bool) {
    let image = Store::open(dir.join("store")).require(&name(), None).unwrap();
    let base = dir.join("base");
    fs::create_dir(&base).unwrap();
    mount("tmpfs", &base, "tmpfs", MountFlags::empty(), None).unwrap();
    for name in ["upper", "work", "root"] {
        fs::create_dir(base.join(name)).unwrap();
    }
    let lower: Vec<_> = image.layers.iter().map(|layer| layer.to_str().unwrap()).collect();
    let (lower, base, mark) = (lower.join(":"), base.display(), if userxattr { ",userxattr" } else { "" });
    let options = format!("lowerdir={lower},upperdir={base}/upper,workdir={base}/work{mark}");
    let root = PathBuf::from(format!("{base}/root"));
    mount("overlay", &root, "overlay", MountFlags::empty(), Some(&*CString::new(options).unwrap())).unwrap();
    let rootfs = Rootfs::open(&image.layers).unwrap();
    for (path, there) in [
        ("keep/file", true),
        ("keep/more", true),
        ("drop/file", false),
        ("drop/stays", true),
        ("opaque/below", false),
        ("opaque/above", true),
        ("again/below", false),
        ("again", true),
        ("gone", false),
    ] {
        assert_eq!(root.join(path).exists(), there, "overlayfs: {path}");
        let found = matches!(rootfs.find(&Path::new("/").join(path)).unwrap(), image::rootfs::Found::Node(_));
        assert_eq!(found, there, "lookup: {path}");
    }
    assert_eq!(fs::metadata(root.join("keep/file")).unwrap().uid(), 0);
}

fn again(test: &str, dir: &Path, inside: &str, command: &[&str]) {
    let exe = dir.join("test");
    if !exe.exists() {
        fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    }
    let mut process = Command::new(command[0]);
    process.args(&command[1..]).arg(&exe).args(["--exact", test, "--nocapture"]);
    let output = process.env(INSIDE, inside).env("SAMPAN_TEST_DIR", dir).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
}

#[test]
fn as_root() {
    if std::env::var_os(INSIDE).is_some() {
        return check(Path::new(&std::env::var("SAMPAN_TEST_DIR").unwrap()), false);
    }
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: needs root");
    }
    let dir = Dir::new("overlay");
    import(&Store::open(dir.0.join("store")));
    again("as_root", &dir.0, "check", &["unshare", "-m", "--propagation", "private"]);
}

#[test]
fn as_a_user() {
    if let Ok(inside) = std::env::var(INSIDE) {
        let dir = PathBuf::from(std::env::var("SAMPAN_TEST_DIR").unwrap());
        if inside == "check" {
            return check(&dir, true);
        }
        let store = Store::open(dir.join("store"));
        import(&store);
        let mut tar = vec![];
        entry_of(&mut tar, "other", Regular, "", b"", |header| {
            header.set_mode(0o644);
            header.set_uid(33);
        });
        tar.resize(tar.len() + 1024, 0);
        let error = store.writer().unwrap().import_layer(tar.as_slice(), None, Expected::default()).unwrap_err();
        return assert_eq!(error.kind, Kind::Unsupported, "{error}");
    }
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: needs root, to become another user");
    }
    let dir = Dir::new("overlay-user");
    chown(&dir.0, Some(1234), Some(1234)).unwrap();
    let user = ["setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups"];
    again("as_a_user", &dir.0, "import", &user);
    let command: Vec<&str> = user.into_iter().chain(["unshare", "-Urm", "--propagation", "private"]).collect();
    again("as_a_user", &dir.0, "check", &command);
}

#[test]
fn other_tools_read_the_layout() {
    let dir = Dir::new("skopeo");
    let store = Store::open(dir.0.join("store"));
    let busybox: Reference = "busybox".parse().unwrap();
    match bootstrap::busybox(&store.writer().unwrap(), &busybox, None) {
        Err(error) if error.kind == Kind::Missing => return println!("skipped: {error}"),
        result => result.unwrap(),
    };
    let start = Instant::now();
    let image = store.require(&busybox, None).unwrap();
    let resolved = start.elapsed();
    let start = Instant::now();
    let rootfs = Rootfs::open(&image.layers).unwrap();
    let root = user::resolve(&rootfs, "", &[]).unwrap();
    program::find(&rootfs, "sh", Path::new("/"), Some("/usr/local/bin:/usr/bin:/bin"), &root).unwrap().unwrap();
    println!("resolve: {resolved:?}, user and program: {:?}", start.elapsed());
    let source = format!("oci:{}:{busybox}", store.root().join("images").display());
    let target = format!("oci:{}:copy", dir.0.join("copy").display());
    for arguments in [vec!["inspect", &source], vec!["--insecure-policy", "copy", &source, &target]] {
        match Command::new("skopeo").args(&arguments).output() {
            Err(error) => return println!("skipped: skopeo: {error}"),
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

#[test]
fn a_real_tree_comes_out_as_it_went_in() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: owners need root");
    }
    let dir = Dir::new("real");
    let store = Store::open(dir.0.join("store"));
    let packed = dir.0.join("etc.tar.gz");
    let mut tar = Command::new("tar");
    tar.args(["--format=posix", "--numeric-owner", "-C", "/", "-czf"]).arg(&packed).arg("etc");
    match tar.status() {
        Err(error) => return println!("skipped: tar: {error}"),
        Ok(status) => assert!(status.success()),
    }
    let start = Instant::now();
    let stream = fs::File::open(&packed).unwrap();
    let layer = store.writer().unwrap().import_layer(stream, None, Expected::default()).unwrap();
    println!("imported {} packed bytes of /etc in {:?}", layer.descriptor.size, start.elapsed());
    let start = Instant::now();
    let count = same(Path::new("/etc"), &store.layer_path(&layer.chain_id).join("etc"));
    println!("{count} entries are the same, compared in {:?}", start.elapsed());
    let start = Instant::now();
    sys::tree::remove_path(&store.layer_path(&layer.chain_id)).unwrap();
    println!("removed in {:?}", start.elapsed());
}

fn same(there: &Path, here: &Path) -> usize {
    let facts = |path: &Path| {
        let meta = fs::symlink_metadata(path).unwrap();
        let size = if meta.is_dir() { 0 } else { meta.size() };
        let link = fs::read_link(path).ok();
        (meta.mode(), meta.uid(), meta.gid(), size, meta.mtime(), meta.mtime_nsec(), link)
    };
    assert_eq!(facts(there), facts(here), "{there:?}");
    if there.is_symlink() || !there.is_dir() {
        assert!(there.is_symlink() || fs::read(there).ok() == fs::read(here).ok(), "{there:?}");
        return 1;
    }
    let names: Vec<_> = fs::read_dir(there).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), fs::read_dir(here).unwrap().count(), "{there:?}");
    1 + names.iter().map(|name| same(&there.join(name), &here.join(name))).sum::<usize>()
}
