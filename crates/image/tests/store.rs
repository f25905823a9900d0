//! The store against the real filesystem: import, names, removal, and what a killed writer leaves.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity)]

mod archive;

use archive::{Dir, entry, entry_of};
use image::bootstrap;
use image::{Expected, Kind, Rootfs, Store, program, user};
use rustix::fs::FileType;
use spec::Reference;
use spec::image::ImageConfig;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

fn named(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn bootstrap_resolve_run_checks_remove() {
    let dir = Dir::new("bootstrap");
    let store = Store::open(dir.0.join("a/store"));
    let busybox = named("busybox");
    assert_eq!(store.resolve(&busybox, None).unwrap(), None);
    assert_eq!(store.require(&busybox, None).unwrap_err().hint.unwrap(), "sampan image bootstrap busybox");

    let (digest, _) = match bootstrap::busybox(&store.writer().unwrap(), &busybox, None) {
        Err(error) if error.kind == Kind::Missing => return println!("skipped: {error}"),
        result => result.unwrap(),
    };
    let (again, _) = bootstrap::busybox(&store.writer().unwrap(), &busybox, None).unwrap();
    assert_eq!(digest, again, "not reproducible");
    let image = store.require(&busybox, None).unwrap();
    assert_eq!(image.config.config.cmd, ["sh"]);
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(store.require(&named("busybux"), None).unwrap_err().hint.unwrap(), "did you mean busybox:latest?");
    let mode = |path: &str| fs::symlink_metadata(image.layers[0].join(path)).unwrap().permissions().mode();
    assert_eq!(mode("tmp") & 0o7777, 0o1777);
    assert_eq!(mode("root") & 0o7777, 0o700);
    assert_eq!(fs::read_link(image.layers[0].join("bin/sh")).unwrap(), Path::new("busybox"));

    let rootfs = Rootfs::open(&image.layers).unwrap();
    let root = user::resolve(&rootfs, "", &[]).unwrap();
    assert_eq!((root.uid, root.home.as_str()), (0, "/root"));
    let find = |name: &str| program::find(&rootfs, name, Path::new("/"), Some("/usr/bin:/bin"), &root).unwrap();
    assert_eq!(find("sh").unwrap(), Path::new("/bin/sh"));
    assert_eq!(find("nothing").unwrap_err().exit_code(), 127);
    assert_eq!(find("/etc").unwrap_err().exit_code(), 126);
    assert_eq!(find("/etc/passwd").unwrap_err().to_string(), "cannot execute /etc/passwd: permission denied");

    let named = store.entry(&busybox).unwrap().unwrap();
    assert!(store.remove(std::slice::from_ref(&named), &|| image.layers.clone()).unwrap());
    assert!(image.layers[0].is_dir(), "a layer in use was removed");
    assert!(!store.remove(&[named], &Vec::new).unwrap());
    assert!(image::gc::collect(&store, &Vec::new).unwrap());
    assert!(!image.layers[0].exists());
    assert_eq!(fs::read_dir(store.root().join("images/blobs/sha256")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
}

use tar::EntryType::{Block, Char, Directory, Link, Regular, Symlink};

#[test]
fn hostile_archives_reach_nothing() {
    let dir = Dir::new("hostile");
    let store = Store::open(dir.0.join("store"));
    let outside = dir.0.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let out = outside.to_str().unwrap();
    let writer = store.writer().unwrap();
    let import = |build: &dyn Fn(&mut Vec<u8>)| {
        let mut tar = vec![];
        build(&mut tar);
        tar.resize(tar.len() + 1024, 0);
        writer.import_layer(tar.as_slice(), None, Expected::default())
    };
    let hostile: [&dyn Fn(&mut Vec<u8>); 7] = [
        &|tar| entry(tar, "../evil", Regular, "", b"x"),
        &|tar| entry(tar, "a/../../evil", Regular, "", b"x"),
        &|tar| entry(tar, "hard", Link, "../../outside/secret", b""),
        &|tar| entry(tar, "a/.wh...", Regular, "", b""),
        &|tar| entry(tar, ".wh..", Regular, "", b""),
        &|tar| entry(tar, "./", Symlink, "/", b""),
        &|tar| {
            entry_of(tar, "white", Char, "", b"", |h| {
                h.set_mode(0o600);
                h.set_device_major(0).unwrap();
                h.set_device_minor(0).unwrap();
            })
        },
    ];
    for (n, build) in hostile.iter().enumerate() {
        let error = import(*build).unwrap_err();
        assert_eq!(error.kind, Kind::Hostile, "{n}: {error}");
    }
    // Through links: they lead to another place of the layer, or nowhere.
    let inside = import(&|tar| {
        entry(tar, "link", Symlink, out, b"");
        entry(tar, "up", Symlink, "../../../../../..", b"");
        entry(tar, "up/evil", Regular, "", b"x");
        entry(tar, "file", Symlink, &format!("{out}/secret"), b"");
        entry(tar, "file", Regular, "", b"replaced");
    })
    .unwrap();
    let layer = store.layer_path(&inside.chain_id);
    assert_eq!(fs::read(layer.join("evil")).unwrap(), b"x");
    assert_eq!(fs::read(layer.join("file")).unwrap(), b"replaced");
    let through = import(&|tar| {
        entry(tar, "link", Symlink, out, b"");
        entry(tar, "link/secret", Regular, "", b"overwritten");
    });
    assert!(through.is_err());
    let linked = import(&|tar| {
        entry(tar, "link", Symlink, out, b"");
        entry(tar, "stolen", Link, "link/secret", b"");
    });
    assert!(linked.is_err());
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    for torn in [&b"not a tar at all, but longer than one block".repeat(20)[..], &[0x1f, 0x8b, 8, 0, 1, 2]] {
        let error = writer.import_layer(torn, None, Expected::default()).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{error}");
    }
    let expected = Expected { digest: Some(spec::Digest::of(b"else")), diff_id: None };
    assert_eq!(writer.import_layer(&[0; 1024][..], None, expected).unwrap_err().kind, Kind::Corrupt);
    drop(writer);
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.root().join("layers")).unwrap().count(), 1);
}

#[test]
fn entries_keep_what_they_carry() {
    let dir = Dir::new("entries");
    let store = Store::open(&dir.0);
    let mut tar = vec![];
    entry_of(&mut tar, "d/", Directory, "", b"", |h| h.set_mode(0o555));
    entry_of(&mut tar, "d/f", Regular, "", b"hello", |h| {
        h.set_mode(0o4711);
        h.set_uid(1000);
        h.set_gid(100);
    });
    entry(&mut tar, "d/hard", Link, "d/f", b"");
    entry(&mut tar, "no/parent/listed", Regular, "", b"");
    entry_of(&mut tar, "dev", Block, "", b"", |h| {
        h.set_mode(0o640);
        h.set_device_major(7).unwrap();
        h.set_device_minor(3).unwrap();
    });
    entry(&mut tar, "gone/.wh.x", Regular, "", b"");
    entry(&mut tar, "opq/.wh..wh..opq", Regular, "", b"");
    entry(&mut tar, "both/.wh.dir", Regular, "", b"");
    entry(&mut tar, "both/dir/", Directory, "", b"");
    entry(&mut tar, ".wh..wh.plnk", Regular, "", b"");
    let mut pax = tar::Builder::new(vec![]);
    pax.append_pax_extensions([
        ("SCHILY.xattr.user.mine", b"value".as_slice()),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("mtime", b"1000000000.5"),
    ])
    .unwrap();
    tar.extend_from_slice(&pax.get_ref().clone());
    std::mem::forget(pax);
    entry(&mut tar, "attr", Regular, "", b"");
    tar.resize(tar.len() + 1024, 0);
    let imported = store.writer().unwrap().import_layer(tar.as_slice(), None, Expected::default());
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: owners and devices need root");
    }
    let layer = store.layer_path(&imported.unwrap().chain_id);
    let meta = |path: &str| fs::symlink_metadata(layer.join(path)).unwrap();
    let file = meta("d/f");
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid(), file.mtime()), (0o4711, 1000, 100, 1_000_000_000));
    assert_eq!(file.ino(), meta("d/hard").ino());
    assert_eq!((meta("d").mode() & 0o7777, meta("d").mtime()), (0o555, 1_000_000_000));
    assert_eq!(meta("dev").rdev(), rustix::fs::makedev(7, 3));
    let is_whiteout =
        |path: &str| FileType::from_raw_mode(meta(path).mode()) == FileType::CharacterDevice && meta(path).rdev() == 0;
    assert!(is_whiteout("gone/x") && !layer.join(".wh..wh.plnk").exists());
    let attr = |path: &str, name: &str| {
        let mut value = [0; 16];
        rustix::fs::getxattr(layer.join(path), name, &mut value[..]).ok().map(|n| value[..n].to_vec())
    };
    let opaque = image::unpack::Rights::current().opaque();
    assert_eq!(attr("opq", opaque).as_deref(), Some(&b"y"[..]));
    assert_eq!(
        attr("both/dir", opaque).as_deref(),
        Some(&b"y"[..]),
        "a directory made over a whiteout hides what was below"
    );
    assert_eq!(attr("attr", "user.mine").as_deref(), Some(&b"value"[..]));
    assert_eq!(attr("attr", "trusted.overlay.redirect"), None);
    assert_eq!(meta("attr").mtime_nsec(), 500_000_000);
}

#[test]
fn attributes_of_any_bytes_come_back() {
    let dir = Dir::new("bytes");
    let (from, to) = (dir.0.join("from"), dir.0.join("to"));
    fs::create_dir_all(from.join("d")).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("d/f"), "content").unwrap();
    let set = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::setxattr(from.join(path), name, value, rustix::fs::XattrFlags::empty())
    };
    let any: Vec<u8> = (0..=255).chain(*b"\n9 uid=7\n").collect();
    // cap_setpcap, cap_linux_immutable: the bytes 0x0a and 0x3d.
    let capability = [1, 0, 0, 2, 0x0a, 0x3d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut kept = vec![("d", "user.any", &any[..]), ("d/f", "user.any", &any), ("d/f", "user.none", b"")];
    if rustix::process::geteuid().is_root() {
        kept.push(("d/f", "security.capability", &capability));
    } else {
        println!("skipped: only root gives a file capabilities");
    }
    kept.iter().for_each(|(path, name, value)| set(path, name, value).unwrap());
    let mut tar = vec![];
    let own = image::difference::Own::Upper(from.clone());
    image::difference::pack::<&Path>(&own, &[], &image::Ids::default(), &mut tar).unwrap();
    let root = fs::File::open(&to).unwrap();
    let (rights, limit) = (image::unpack::Rights::current(), image::limit::Limit(1 << 20));
    image::unpack::unpack(root.as_fd(), tar.as_slice(), rights, limit).unwrap();
    for (path, name, value) in kept {
        let mut found = [0; 512];
        let length = rustix::fs::getxattr(to.join(path), name, &mut found[..]).unwrap();
        assert_eq!(&found[..length], value, "{path} {name}");
    }
    set("d/f", "user.a=b", b"c").unwrap();
    let refused = image::difference::pack::<&Path>(&own, &[], &image::Ids::default(), &mut vec![]).unwrap_err();
    assert!(refused.to_string().contains("no layer can hold its attribute \"user.a=b\""), "{refused}");
}

#[test]
fn lookups_see_what_overlayfs_would_show() {
    let dir = Dir::new("lookup");
    let store = Store::open(dir.0.join("store"));
    let writer = store.writer().unwrap();
    let import = |parent, build: &dyn Fn(&mut Vec<u8>)| {
        let mut tar = vec![];
        build(&mut tar);
        tar.resize(tar.len() + 1024, 0);
        writer.import_layer(tar.as_slice(), parent, Expected::default()).unwrap()
    };
    let bottom = import(None, &|tar| {
        entry(tar, "usr/bin/tool", Regular, "", b"#!/bin/sh\r\n");
        entry(tar, "usr/bin/lost", Regular, "", b"#! /no/such -x\n");
        entry(tar, "usr/bin/plain", Regular, "", b"hello");
        entry(tar, "usr/bin/empty", Regular, "", b"");
        entry(tar, "bin", Symlink, "usr/bin", b"");
        entry(tar, "lib", Symlink, "/../usr/./lib", b"");
        entry(tar, "usr/lib/below", Regular, "", b"");
        entry(tar, "hidden/below", Regular, "", b"");
        entry(tar, "loop", Symlink, "loop", b"");
        entry(tar, "etc/passwd", Regular, "", b"a:x:1:2::/home/a\n7:x:8:9::/\n");
        entry(tar, "etc/group", Regular, "", b"g:x:5:a,b\nh:x:6:b\ni:x:7:x,a\n");
    });
    let top = import(Some(&bottom.chain_id), &|tar| {
        entry(tar, "usr/lib/above", Regular, "", b"");
        entry(tar, "hidden/.wh..wh..opq", Regular, "", b"");
        entry(tar, "usr/bin/.wh.plain", Regular, "", b"");
        // An ELF header for the other end of the world.
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x02");
        elf[17] = 2;
        elf[19] = 22;
        if cfg!(target_arch = "s390x") {
            elf[19] = 20;
        }
        entry(tar, "usr/bin/foreign", Regular, "", &elf);
        entry_of(tar, "usr/bin/private", Regular, "", b"#!/bin/tool\n", |h| h.set_mode(0o700));
    });
    let name = named("example.test/two/layers:1");
    writer
        .put(
            Some(&name),
            ImageConfig { platform: spec::image::Platform::native(), ..ImageConfig::default() },
            &[bottom, top],
        )
        .unwrap();
    let image = store.require(&name, None).unwrap();
    let rootfs = Rootfs::open(&image.layers).unwrap();
    let there = |path: &str| matches!(rootfs.find(Path::new(path)).unwrap(), image::rootfs::Found::Node(_));
    assert!(there("/lib/below") && there("/lib/above") && there("/") && there("/../../etc/passwd"));
    assert!(!there("/hidden/below") && there("/hidden") && !there("/bin/plain") && !there("/etc/passwd/x"));
    assert_eq!(rootfs.find(Path::new("/loop")).err().unwrap().kind, Kind::Corrupt);

    let who = |text: &str, groups: &[&str]| {
        let groups: Vec<_> = groups.iter().map(|g| (*g).to_owned()).collect();
        user::resolve(&rootfs, text, &groups)
            .map(|u| (u.uid, u.gid, u.additional_gids, u.home))
            .map_err(|e| e.to_string())
    };
    assert_eq!(who("a", &[]), Ok((1, 2, vec![5, 7], "/home/a".into())));
    assert_eq!(who("1", &["h", "99"]), Ok((1, 2, vec![5, 6, 7, 99], "/home/a".into())));
    assert_eq!(who("a:h", &[]), Ok((1, 6, vec![], "/home/a".into())));
    assert_eq!(who("1000:1000", &[]), Ok((1000, 1000, vec![], "/".into())));
    assert_eq!(who("", &[]), Ok((0, 0, vec![], "/".into())));
    assert_eq!(who("z", &[]), Err("unable to find user z: no matching entries in passwd file".into()));
    assert_eq!(who("a:z", &[]), Err("unable to find group z: no matching entries in group file".into()));
    assert_eq!(
        who("4294967295", &[]),
        Err("unable to find user 4294967295: uids and gids must be in range 0-2147483647".into())
    );

    let root = user::resolve(&rootfs, "", &[]).unwrap();
    let a = user::resolve(&rootfs, "a", &[]).unwrap();
    let find = |name: &str, user| program::find(&rootfs, name, Path::new("/"), Some("/bin"), user).unwrap();
    let why = |name: &str| find(name, &root).unwrap_err();
    assert!(matches!(why("tool"), program::Refusal::CarriageReturn { .. }));
    assert!(matches!(why("lost"), program::Refusal::NoInterpreter { script: true, .. }));
    assert!(matches!(why("empty"), program::Refusal::UnknownFormat { empty: true, .. }));
    assert!(matches!(why("plain"), program::Refusal::NotFound { .. }));
    match why("foreign") {
        program::Refusal::WrongArchitecture { machine, .. } => assert_eq!(machine, "s390x"),
        other => panic!("{other}"),
    }
    assert!(matches!(find("private", &a).unwrap_err(), program::Refusal::NotExecutable { .. }));
    let mounted = Rootfs::open(&image.layers)
        .unwrap()
        .mounted(Path::new("/data"), None)
        .mounted(Path::new("/host/"), Some(Path::new("/proc/self")));
    assert!(program::find(&mounted, "/data/anything", Path::new("/"), None, &root).unwrap().is_ok());
    assert!(program::find(&mounted, "exe", Path::new("/host"), Some("."), &root).unwrap().is_err());
}

#[test]
fn a_killed_import_leaves_the_store_whole() {
    if let Ok(root) = std::env::var("SAMPAN_TEST_IMPORT") {
        // The child: a layer that takes long.
        let mut tar = vec![];
        entry_of(&mut tar, "big", Regular, "", b"", |h| {
            h.set_mode(0o644);
            h.set_size(1 << 26);
        });
        let endless = std::io::Read::chain(tar.as_slice(), std::io::repeat(7));
        let slow = Slow(endless);
        let _ = Store::open(root).writer().unwrap().import_layer(slow, None, Expected::default());
        return;
    }
    let dir = Dir::new("killed");
    let store = Store::open(&dir.0);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_import_leaves_the_store_whole"])
        .env("SAMPAN_TEST_IMPORT", &dir.0)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let unpacking =
        || fs::read_dir(dir.0.join("tmp")).is_ok_and(|tmp| tmp.flatten().any(|t| t.path().join("tree/big").exists()));
    while !unpacking() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // A living writer's work is not touched, and it does not hinder another.
    drop(store.writer().unwrap());
    assert!(unpacking());
    assert!(!image::gc::collect(&store, &Vec::new).unwrap(), "gc ran beside a writer");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(unpacking());
    drop(store.writer().unwrap());
    assert_eq!(fs::read_dir(dir.0.join("tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(dir.0.join("layers")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(dir.0.join("images/blobs/sha256")).unwrap().count(), 0);
    assert!(image::gc::collect(&store, &Vec::new).unwrap());
}

struct Slow<R>(R);

impl<R: std::io::Read> std::io::Read for Slow<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let n = buffer.len().min(1 << 14);
        self.0.read(&mut buffer[..n])
    }
}

#[test]
fn a_deep_tree_goes_and_a_link_out_of_it_stays() {
    let dir = Dir::new("tree");
    let kept = dir.0.join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "").unwrap();
    let top = dir.0.join("top");
    fs::create_dir(&top).unwrap();
    std::os::unix::fs::symlink(&kept, top.join("link")).unwrap();
    let mut at: std::os::fd::OwnedFd = fs::File::open(&top).unwrap().into();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    rustix::fs::chmodat(&at, ".", rustix::fs::Mode::empty(), rustix::fs::AtFlags::empty()).unwrap();
    drop(at);
    let frozen = top.join("frozen");
    fs::write(&frozen, "").unwrap();
    let file = fs::File::open(&frozen).unwrap();
    match rustix::fs::ioctl_setflags(&file, rustix::fs::IFlags::IMMUTABLE) {
        Ok(()) => assert!(fs::remove_file(&frozen).is_err()),
        Err(errno) => println!("skipped: immutable file: {errno}"),
    }
    sys::tree::remove_path(&top).unwrap();
    assert!(!top.exists() && kept.join("file").exists());
    sys::tree::remove_path(&top).unwrap();
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
}
