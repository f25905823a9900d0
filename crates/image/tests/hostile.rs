//! Layers of an attacker's: each is refused or contained, and nothing outside of its own directory is touched.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

mod archive;

use archive::{Dir, entry, entry_of, pax};
use image::limit::Limit;
use image::unpack::{Rights, unpack};
use image::{Error, Expected, Kind, Store};
use rustix::fs::FileType;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;
use tar::EntryType::{self, Block, Char, Directory, GNUSparse, Link, Regular, Symlink};

/// A root to unpack into, and beside it what must stay as it is.
struct Ground {
    dir: Dir,
    before: Vec<String>,
}

impl Ground {
    fn new(name: &str) -> Self {
        let dir = Dir::new(&format!("hostile-{name}"));
        fs::create_dir(dir.0.join("root")).unwrap();
        fs::create_dir(dir.0.join("outside")).unwrap();
        fs::write(dir.0.join("outside/secret"), "secret").unwrap();
        let before = outside(&dir);
        Self { dir, before }
    }

    fn root(&self) -> PathBuf {
        self.dir.0.join("root")
    }

    fn secret(&self) -> String {
        self.dir.0.join("outside/secret").to_str().unwrap().to_owned()
    }

    fn unpack(&self, tar: &[u8]) -> Result<Vec<String>, Error> {
        self.unpack_as(tar, Rights::current(), Limit::parse(None).unwrap())
    }

    fn unpack_as(&self, tar: &[u8], rights: Rights, limit: Limit) -> Result<Vec<String>, Error> {
        let root = fs::File::open(self.root()).unwrap();
        let mut tar = tar.to_vec();
        tar.resize(tar.len() + 1024, 0);
        let result = unpack(root.as_fd(), tar.as_slice(), rights, limit);
        assert_eq!(outside(&self.dir), self.before);
        result
    }

    fn refused(&self, kind: Kind, tar: &[u8]) -> String {
        let error = self.unpack(tar).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        error.to_string()
    }
}

/// All that is there but the root's content.
fn outside(dir: &Dir) -> Vec<String> {
    let mut found: Vec<String> = ["", "outside"]
        .iter()
        .flat_map(|name| fs::read_dir(dir.0.join(name)).unwrap())
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.path().symlink_metadata().unwrap();
            // The root's own times and mode are the layer's to set.
            let own = if entry.file_name() == "root" { 0 } else { meta.mode() };
            format!(
                "{:?} {own:o} {} {:?}",
                entry.path(),
                meta.nlink() * u64::from(own != 0),
                fs::read(entry.path()).ok()
            )
        })
        .collect();
    found.sort();
    found
}

fn tar_of(entries: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut tar = vec![];
    entries.iter().for_each(|(path, kind, link, content)| entry(&mut tar, path, *kind, link, content));
    tar
}

fn device(tar: &mut Vec<u8>, path: &str, kind: EntryType, major: u32, minor: u32) {
    entry_of(tar, path, kind, "", b"", |header| {
        header.set_mode(0o666);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
    });
}

#[test]
fn a_way_up() {
    let ground = Ground::new("up");
    for path in ["..", "../outside/evil", "a/../../outside/evil", "./a/./../..//evil", "/../evil", "a/.."] {
        ground.refused(Kind::Hostile, &tar_of(&[(path, Regular, "", b"x")]));
        ground.refused(Kind::Hostile, &tar_of(&[(path, Directory, "", b"")]));
        ground.refused(Kind::Hostile, &tar_of(&[(path, Symlink, "/", b"")]));
    }
    assert_eq!(fs::read_dir(ground.root()).unwrap().count(), 0);
}

#[test]
fn a_way_up_in_long_names() {
    let ground = Ground::new("uplong");
    for records in
        [&[("path", b"../outside/evil".as_slice())][..], &[("GNU.sparse.name", b"../evil"), ("GNU.sparse.size", b"0")]]
    {
        let mut tar = vec![];
        pax(&mut tar, records);
        entry(&mut tar, "good", Regular, "", b"");
        ground.refused(Kind::Hostile, &tar);
    }
    let tar = tar_of(&[("././@LongLink", EntryType::GNULongName, "", b"x/../../evil\0"), ("good", Regular, "", b"")]);
    ground.refused(Kind::Hostile, &tar);
    assert_eq!(fs::read_dir(ground.root()).unwrap().count(), 0);
}

#[test]
fn absolute_names() {
    let ground = Ground::new("absolute");
    let secret = ground.secret();
    ground.unpack(&tar_of(&[(&secret, Regular, "", b"x"), ("//etc//evil", Regular, "", b"y")])).unwrap();
    assert_eq!(fs::read(ground.root().join(secret.trim_start_matches('/'))).unwrap(), b"x");
    assert_eq!(fs::read(ground.root().join("etc/evil")).unwrap(), b"y");
}

#[test]
fn writes_through_a_link() {
    let ground = Ground::new("through");
    let outside = ground.dir.0.join("outside");
    let out = outside.to_str().unwrap();
    // Absolute: of the layer's root, where there is no such directory.
    let tar = tar_of(&[("link", Symlink, out, b""), ("link/secret", Regular, "", b"x")]);
    ground.unpack(&tar).unwrap_err();
    // Over the link itself: it is replaced.
    let secret = ground.secret();
    ground.unpack(&tar_of(&[("file", Symlink, &secret, b""), ("file", Regular, "", b"mine")])).unwrap();
    assert!(ground.root().join("file").symlink_metadata().unwrap().is_file());
    ground
        .unpack(&tar_of(&[
            ("d", Symlink, "../outside", b""),
            ("d/", Directory, "", b""),
            ("d/secret", Regular, "", b"x"),
        ]))
        .unwrap();
    assert_eq!(fs::read(ground.root().join("d/secret")).unwrap(), b"x");
}

#[test]
fn writes_through_a_hard_link_to_a_link() {
    let ground = Ground::new("hardlink");
    let secret = ground.secret();
    // The second name of a symbolic link is a symbolic link, which nothing follows.
    ground
        .unpack(&tar_of(&[("a", Symlink, &secret, b""), ("b", Link, "a", b""), ("b", Regular, "", b"mine")]))
        .unwrap();
    assert!(ground.root().join("b").symlink_metadata().unwrap().is_file());
    ground
        .unpack(&tar_of(&[("c", Symlink, "../outside", b""), ("e", Link, "c", b""), ("e/x", Regular, "", b"x")]))
        .unwrap_err();
}

#[test]
fn whiteouts_through_a_link() {
    let ground = Ground::new("whiteout");
    let tar = tar_of(&[
        ("up", Symlink, "../../..", b""),
        ("up/.wh.outside", Regular, "", b""),
        ("up/.wh..wh..opq", Regular, "", b""),
    ]);
    ground.unpack(&tar).unwrap();
    let white = ground.root().join("outside").symlink_metadata().unwrap();
    assert!(white.file_type().is_char_device() && white.rdev() == 0);
    let tar = tar_of(&[("out", Symlink, "/outside2", b""), ("out/.wh.secret", Regular, "", b"")]);
    ground.unpack(&tar).unwrap_err();
}

#[test]
fn chains_of_links() {
    let ground = Ground::new("chain");
    // Each leads one up from where it is; together they would be far above the root.
    let tar = tar_of(&[
        ("a", Symlink, "..", b""),
        ("d/b", Symlink, "../a/..", b""),
        ("d/c", Symlink, "b/../..", b""),
        ("d/c/evil", Regular, "", b"x"),
        ("d/c/outside/evil", Regular, "", b"x"),
    ]);
    ground.unpack(&tar).unwrap();
    assert_eq!(fs::read(ground.root().join("evil")).unwrap(), b"x");
    assert_eq!(fs::read(ground.root().join("outside/evil")).unwrap(), b"x");
    for target in ["loop", "./loop/..", "/loop"] {
        ground.unpack(&tar_of(&[("loop", Symlink, target, b""), ("loop/x", Regular, "", b"")])).unwrap_err();
    }
}

#[test]
fn links_of_procfs() {
    let ground = Ground::new("magic");
    let here = format!("/proc/{}/cwd", std::process::id());
    for target in [here.as_str(), "/proc/self/root", "/dev/fd/0"] {
        ground.unpack(&tar_of(&[("p", Symlink, target, b""), ("p/x", Regular, "", b"")])).unwrap_err();
    }
}

#[test]
fn hard_links_to_the_outside() {
    let ground = Ground::new("hard");
    for target in ["../outside/secret", "a/../../outside/secret", "..", "/", "."] {
        ground.refused(Kind::Hostile, &tar_of(&[("stolen", Link, target, b"")]));
    }
    let secret = ground.secret();
    for tar in [
        tar_of(&[("stolen", Link, &secret, b"")]),
        tar_of(&[("up", Symlink, "../outside", b""), ("stolen", Link, "up/secret", b"")]),
    ] {
        ground.unpack(&tar).unwrap_err();
    }
    assert!(!ground.root().join("stolen").exists());
}

#[test]
fn whiteouts_of_no_name() {
    let ground = Ground::new("noname");
    for path in [".wh.", ".wh..", ".wh...", "a/.wh...", "a/.wh."] {
        ground.refused(Kind::Hostile, &tar_of(&[(path, Regular, "", b"")]));
    }
    // AUFS's own; a marker as a directory, a link, or above a name.
    let tar = tar_of(&[
        (".wh..wh.aufs", Regular, "", b""),
        (".wh..wh.plnk/", Directory, "", b""),
        (".wh.x", Symlink, "/etc", b""),
        (".wh.y/", Directory, "", b""),
        (".wh..wh..opq", Link, "/etc", b""),
    ]);
    ground.unpack(&tar).unwrap();
    for name in ["x", "y"] {
        assert_eq!(ground.root().join(name).symlink_metadata().unwrap().rdev(), 0, "{name}");
    }
    assert_eq!(fs::read_dir(ground.root()).unwrap().count(), 2);
}

#[test]
fn devices() {
    let ground = Ground::new("devices");
    let mut tar = vec![];
    device(&mut tar, "white", Char, 0, 0);
    ground.refused(Kind::Hostile, &tar);
    // Of an ordinary user they are left out and told, and hide what had the name.
    let mut tar = tar_of(&[("disk", Regular, "", b"not a disk")]);
    device(&mut tar, "disk", Block, 8, 0);
    device(&mut tar, "mem", Char, 1, 1);
    for rights in [Rights::Mapped, Rights::User] {
        let skipped = ground.unpack_as(&tar, rights, Limit(1 << 20)).unwrap();
        assert_eq!(skipped, ["disk", "mem"]);
        assert_eq!(fs::read_dir(ground.root()).unwrap().count(), 0);
    }
    if Rights::current() != Rights::Root {
        return println!("skipped: only root makes devices");
    }
    assert!(ground.unpack(&tar).unwrap().is_empty());
    assert!(ground.root().join("disk").symlink_metadata().unwrap().file_type().is_block_device());
    // Numbers that do not fit in the header's fields.
    let mut tar = vec![];
    entry_of(&mut tar, "far", Char, "", b"", |header| header.as_gnu_mut().unwrap().dev_major = *b"99999999");
    ground.refused(Kind::Corrupt, &tar);
}

#[test]
fn one_name_twice() {
    let ground = Ground::new("twice");
    let kinds: [(EntryType, &str); 4] =
        [(Regular, ""), (Directory, ""), (Symlink, "../outside"), (EntryType::Fifo, "")];
    for (first, link) in kinds {
        for (second, other) in kinds {
            let both: [(&str, _, &str, &[u8]); 2] = [("x", first, link, b""), ("x/in", Regular, "", b"")];
            let tar = tar_of(&both[..1 + usize::from(first == Directory)]);
            let tar = [tar, tar_of(&[("x", second, other, b"")])].concat();
            ground.unpack(&tar).unwrap();
            let found = ground.root().join("x").symlink_metadata().unwrap().file_type();
            let is = match second {
                Regular => found.is_file(),
                Directory => found.is_dir(),
                Symlink => found.is_symlink(),
                _ => found.is_fifo(),
            };
            assert!(is, "{first:?} {second:?}");
        }
    }
    // Under the modes of a directory that is gone by then.
    let tar = tar_of(&[("d/", Directory, "", b""), ("here", Symlink, ".", b""), ("here/d", Symlink, "/outside", b"")]);
    ground.unpack(&tar).unwrap_err();
}

#[test]
fn long_names() {
    let ground = Ground::new("long");
    for path in ["a".repeat(256), "a/".repeat(3000), "../".repeat(3000), "n".repeat(1 << 19)] {
        let mut tar = vec![];
        pax(&mut tar, &[("path", path.as_bytes())]);
        entry(&mut tar, "short", Regular, "", b"");
        ground.unpack(&tar).unwrap_err();
    }
    let deep = vec!["d".repeat(200); 20].join("/");
    let mut tar = vec![];
    pax(&mut tar, &[("path", deep.as_bytes())]);
    entry(&mut tar, "short", Regular, "", b"x");
    pax(&mut tar, &[("linkpath", deep.as_bytes())]);
    entry(&mut tar, "link", Link, "short", b"");
    ground.unpack(&tar).unwrap();
    assert_eq!(fs::read(ground.root().join("link")).unwrap(), b"x");
}

#[test]
fn a_tree_deeper_than_paths_reach() {
    let ground = Ground::new("deep");
    // Each link is short, and its directory lies a thousand below the one before.
    let mut tar = vec![];
    let down = vec!["d"; 1000].join("/");
    for n in 0..4 {
        let from = if n == 0 { String::new() } else { format!("l{}/", n - 1) };
        pax(&mut tar, &[("path", format!("{from}{down}/").as_bytes())]);
        entry(&mut tar, "x", Directory, "", b"");
        pax(&mut tar, &[("linkpath", format!("{from}{down}").as_bytes())]);
        entry(&mut tar, &format!("l{n}"), Symlink, "x", b"");
    }
    ground.unpack(&tar).unwrap();
    // Dropping the directory takes it away.
}

#[test]
fn records_that_lie() {
    let ground = Ground::new("records");
    let cases: [(&str, &[u8], Kind); 9] = [
        ("path", b"a\0b", Kind::Hostile),
        ("linkpath", b"a\0b", Kind::Hostile),
        ("size", b"-1", Kind::Corrupt),
        ("size", b"1e9", Kind::Corrupt),
        ("size", b"99999999999999999999999", Kind::Corrupt),
        ("uid", b"-1", Kind::Corrupt),
        ("uid", b"4294967295", Kind::Corrupt),
        ("gid", b"18446744073709551615", Kind::Corrupt),
        ("SCHILY.xattr.user.a\0b", b"x", Kind::Hostile),
    ];
    for (key, value, kind) in cases {
        let mut tar = vec![];
        pax(&mut tar, &[(key, value)]);
        entry(&mut tar, "file", Regular, "", b"");
        ground.refused(kind, &tar);
    }
    for bytes in [
        &b"5 a=b"[..],
        b"999 a=b\n",
        b"no record",
        b"6 a=\xff\n\0\0",
        b"-5 a=b\n",
        // One that ends early, or late, must not give the next another key.
        b"17 SCHILY.x=\n9 uid=7\n",
        b"6 a=b\n12 a=b\n6 c=d\n",
        b"7 a=b\n",
        b"99999999999999999999 a=b\n",
        b"6 a=b\n\n6 a=b\n",
        b"4 =\n",
        b"1 a=b\n",
    ] {
        let tar = tar_of(&[("x", EntryType::XHeader, "", bytes), ("file", Regular, "", b"")]);
        ground.refused(Kind::Corrupt, &tar);
    }
    // Of one key the last counts; an empty one is none.
    let mut tar = vec![];
    pax(&mut tar, &[("path", b"first"), ("path", b"second"), ("uid", b"9"), ("uid", b""), ("mtime", b"")]);
    entry(&mut tar, "header", Regular, "", b"");
    ground.unpack(&tar).unwrap();
    let found = ground.root().join("second").symlink_metadata().unwrap();
    assert_eq!((found.uid(), found.mtime()), (rustix::process::geteuid().as_raw(), 1_000_000_000));
    assert!(!ground.root().join("first").exists() && !ground.root().join("header").exists());
    // A time that no clock shows is none.
    for time in ["99999999999999999999.5", "-9223372036854775808.5", "9223372036854775807.999999999", "-.", "1.-1"] {
        let mut tar = vec![];
        pax(&mut tar, &[("mtime", time.as_bytes())]);
        entry(&mut tar, "file", Regular, "", b"");
        ground.unpack(&tar).unwrap();
    }
}

#[test]
fn sizes_beyond_the_archive() {
    let ground = Ground::new("sizes");
    for size in [1 << 63, u64::MAX, u64::MAX - 511] {
        for kind in [Regular, EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNULongName] {
            let mut tar = vec![];
            entry_of(&mut tar, "big", kind, "x", b"", |header| {
                header.set_mode(0o644);
                header.set_size(size);
            });
            let error = ground.unpack(&tar).unwrap_err();
            assert!(matches!(error.kind, Kind::TooLarge | Kind::Corrupt), "{kind:?} {size}: {error}");
        }
    }
    let mut tar = vec![];
    entry_of(&mut tar, "short", Regular, "", b"", |header| {
        header.set_mode(0o644);
        header.set_size(1 << 20);
    });
    ground.refused(Kind::Corrupt, &tar);
    // What the records say counts, and is not believed either.
    for size in ["1025", "1048576", "9223372036854775807"] {
        let mut tar = vec![];
        pax(&mut tar, &[("size", size.as_bytes())]);
        entry(&mut tar, "short", Regular, "", b"");
        let error = ground.unpack(&tar).unwrap_err();
        assert!(matches!(error.kind, Kind::TooLarge | Kind::Corrupt), "{size}: {error}");
    }
}

#[test]
fn entries_that_have_no_content() {
    let ground = Ground::new("content");
    // Go's reader takes what follows for the next header, so whoever hides an entry in there shows it to both.
    for (kind, name) in [(Directory, "kind/"), (Symlink, "kind"), (EntryType::Fifo, "kind")] {
        let mut tar = vec![];
        entry_of(&mut tar, name, kind, "x", b"", |header| {
            header.set_mode(0o755);
            header.set_size(512);
        });
        entry(&mut tar, "seen", Regular, "", b"content");
        ground.unpack(&tar).unwrap();
        assert_eq!(fs::read(ground.root().join("seen")).unwrap(), b"content");
        fs::remove_file(ground.root().join("seen")).unwrap();
    }
    // Before there was a type for directories.
    let mut tar = vec![];
    entry_of(&mut tar, "old/", Regular, "", b"", |header| {
        header.set_mode(0o755);
        header.as_old_mut().linkflag = [0];
    });
    ground.unpack(&tar).unwrap();
    assert!(ground.root().join("old").is_dir());
}

#[test]
fn headers_of_nothing() {
    let ground = Ground::new("nothing");
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        ground.refused(Kind::Corrupt, &tar_of(&[("x", kind, "", b"")]));
        ground.refused(Kind::Corrupt, &tar_of(&[("x", kind, "", b""), ("x", kind, "", b""), ("f", Regular, "", b"")]));
    }
    let mut tar = tar_of(&[("f", Regular, "", b"")]);
    tar[0] = b'g';
    ground.refused(Kind::Corrupt, &tar);
    ground.unpack(&tar_of(&[("x", EntryType::XGlobalHeader, "", b"9 uid=99\n"), ("f", Regular, "", b"")])).unwrap();
    assert_ne!(ground.root().join("f").symlink_metadata().unwrap().uid(), 99);
}

#[test]
fn headers_without_end() {
    let ground = Ground::new("headers");
    let long = vec![b'n'; 2 << 20];
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let tar = tar_of(&[("x", kind, "", &long), ("file", Regular, "", b"")]);
        let why = ground.refused(Kind::TooLarge, &tar);
        assert!(why.contains("headers of an entry are longer than 1MiB"), "{why}");
    }
    // Each of them short, but no end to them.
    let many = vec![("x", EntryType::XGlobalHeader, "", &b""[..]); 4096];
    ground.refused(Kind::TooLarge, &tar_of(&many));
    // What is content is no header, however long.
    ground.unpack(&tar_of(&[("a", Regular, "", &long), ("b", Regular, "", &long)])).unwrap();
}

/// An entry of GNU's older form with this map.
fn sparse(map: &[(u64, u64)], size: u64, content: &[u8]) -> Vec<u8> {
    let mut tar = vec![];
    entry_of(&mut tar, "holes", GNUSparse, "", content, |header| {
        header.set_mode(0o644);
        let gnu = header.as_gnu_mut().unwrap();
        for (place, (offset, length)) in gnu.sparse.iter_mut().zip(map) {
            place.offset[..11].copy_from_slice(format!("{offset:011o}").as_bytes());
            place.numbytes[..11].copy_from_slice(format!("{length:011o}").as_bytes());
        }
        gnu.realsize[0] = 0x80;
        gnu.realsize[4..].copy_from_slice(&size.to_be_bytes());
    });
    tar
}

#[test]
fn sparse_files_of_the_old_form() {
    let ground = Ground::new("sparse");
    let block = [7; 512];
    ground.unpack(&sparse(&[(1 << 20, 512), ((1 << 20) + 512, 0)], (1 << 20) + 512, &block)).unwrap();
    let file = ground.root().join("holes");
    assert_eq!(fs::metadata(&file).unwrap().len(), (1 << 20) + 512);
    assert_eq!(&fs::read(&file).unwrap()[1 << 20..], block);
    assert!(fs::metadata(&file).unwrap().blocks() * 512 < 1 << 20, "its holes were filled");
    for (map, size) in [
        (&[(0, 512)][..], 1 << 62),
        (&[(512, 512), (0, 512)], 1024),
        (&[(0, 1024)], 1024),
        (&[(1 << 32, 512)], 512),
        (&[(0, 100), (512, 412)], 924),
        (&[], 1 << 40),
    ] {
        ground.refused(Kind::Corrupt, &sparse(map, size, &block));
    }
    // Almost nothing but a hole.
    let map = [((8 << 30) - 512, 512)];
    let error = ground.unpack_as(&sparse(&map, 8 << 30, &block), Rights::current(), Limit(1 << 30)).unwrap_err();
    assert_eq!(error.kind, Kind::TooLarge);
}

#[test]
fn sparse_files_of_the_new_form() {
    let ground = Ground::new("sparsepax");
    let file = |records: &[(&str, &[u8])], content: &[u8]| {
        let mut tar = vec![];
        pax(&mut tar, &[&[("GNU.sparse.major", b"1".as_slice()), ("GNU.sparse.name", b"holes")], records].concat());
        entry(&mut tar, "GNUSparseFile.0/holes", Regular, "", content);
        tar
    };
    let content = |map: &str, data: &[u8]| {
        let mut content = map.as_bytes().to_vec();
        content.resize(512, 0);
        [&content, data].concat()
    };
    let size = |size: &'static [u8]| [("GNU.sparse.realsize", size)];
    ground.unpack(&file(&size(b"1048580"), &content("1\n1048576\n4\n", b"data"))).unwrap();
    let path = ground.root().join("holes");
    assert_eq!(&fs::read(&path).unwrap()[1 << 20..], b"data");
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20, "its holes were filled");
    for (records, content) in [
        (size(b"10"), content("1\n8\n4\n", b"data")),
        (size(b"10"), content("1\n0\n9\n", b"data")),
        (size(b"10"), content("99999999\n", b"")),
        (size(b"10"), content("2\n4\n4\n0\n4\n", b"datadata")),
        (size(b"-1"), content("0\n", b"")),
        (size(b"10"), vec![b'1'; 4096]),
        (size(b"10"), b"1\n".to_vec()),
    ] {
        ground.refused(Kind::Corrupt, &file(&records, &content));
    }
    ground.refused(Kind::TooLarge, &file(&size(b"9223372036854775807"), &content("0\n", b"")));
}

#[test]
fn attributes_of_overlayfs_are_not_the_images() {
    let ground = Ground::new("xattr");
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut tar = vec![];
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.metacopy", b""),
        ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.security.selinux", b"label"),
        ("SCHILY.xattr.security.ima", b"\x01"),
        ("SCHILY.xattr.security.evm", b"\x01"),
        ("SCHILY.xattr.system.posix_acl_access", b"\x02\0\0\0"),
    ];
    pax(&mut tar, records);
    entry(&mut tar, "dir/", Directory, "", b"");
    pax(&mut tar, records);
    entry(&mut tar, "file", Regular, "", b"");
    pax(&mut tar, &[("SCHILY.xattr.security.capability", &capability)]);
    entry(&mut tar, "capable", Regular, "", b"");
    ground.unpack(&tar).unwrap();
    let names = |path: &str| {
        let mut names = [0; 256];
        let n = rustix::fs::listxattr(ground.root().join(path), &mut names[..]).unwrap();
        String::from_utf8_lossy(&names[..n]).into_owned()
    };
    // A labelled host gives each file one of its own.
    assert!(
        !names("dir").contains("overlay") && !names("file").contains("overlay"),
        "{} {}",
        names("dir"),
        names("file")
    );
    assert!(!names("file").contains("ima") && !names("file").contains("acl"));
    if Rights::current() == Rights::Root {
        assert!(names("capable").contains("security.capability"));
    }
    // One that the kernel does not take, and one on what can have none.
    for value in [&b"x"[..], &[9; 100]] {
        let mut tar = vec![];
        pax(&mut tar, &[("SCHILY.xattr.security.capability", value)]);
        entry(&mut tar, "wrong", Regular, "", b"");
        ground.refused(Kind::System, &tar);
    }
    let mut tar = vec![];
    pax(&mut tar, &[("SCHILY.xattr.user.big", &vec![1; 100_000])]);
    entry(&mut tar, "big/", Directory, "", b"");
    ground.refused(Kind::System, &tar);
}

#[test]
fn kinds_that_nobody_knows() {
    let ground = Ground::new("kinds");
    for kind in [b'D', b'M', b'N', b'V', b'Z', 0xff] {
        let why = ground.refused(Kind::Unsupported, &tar_of(&[("x", EntryType::new(kind), "", b"")]));
        assert!(why.starts_with("cannot unpack x: tar entry of type"), "{why}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// With its end mark.
fn small() -> Vec<u8> {
    let mut tar = tar_of(&[("file", Regular, "", b"content")]);
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn import(name: &str, bytes: &[u8]) -> Result<image::Layer, Error> {
    let dir = Dir::new(name);
    let store = Store::open(dir.0.join("store"));
    let layer = store.writer().unwrap().import_layer(bytes, None, Expected::default());
    let path = layer.as_ref().ok().map(|layer| store.layer_path(&layer.chain_id));
    assert_eq!(path.is_some(), fs::read_dir(store.root().join("layers")).unwrap().count() == 1);
    if let Some(path) = path {
        assert_eq!(fs::read(path.join("file")).unwrap(), b"content");
    }
    layer
}

#[test]
fn compressed_streams_that_break_off() {
    let tar = small();
    for (name, packed) in [("gz", gzip(&tar)), ("zst", zstd::encode_all(tar.as_slice(), 3).unwrap())] {
        import(name, &packed).unwrap();
        for end in [5, packed.len() / 2, packed.len() - 9, packed.len() - 1] {
            let error = import(name, &packed[..end]).unwrap_err();
            assert_eq!(error.kind, Kind::Corrupt, "{name} {end}: {error}");
        }
        let error = import(name, &[&packed[..], b"garbage that is no stream of that kind"].concat()).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{name}: {error}");
    }
}

#[test]
fn compressed_streams_in_several_parts() {
    let tar = small();
    let plain = import("plain", &tar).unwrap();
    let (a, b) = tar.split_at(700);
    let members = [gzip(a), gzip(b""), gzip(b)].concat();
    assert_eq!(import("members", &members).unwrap().diff_id, plain.diff_id);
    let zst = |bytes| zstd::encode_all(bytes, 3).unwrap();
    // A frame to be skipped in between (RFC 8878, 3.1.2).
    let skipped = [&0x184d_2a50_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), b"abcd"].concat();
    let frames = [zst(a), skipped, zst(b)].concat();
    assert_eq!(import("frames", &frames).unwrap().diff_id, plain.diff_id);
}

#[test]
fn bytes_behind_the_end_mark() {
    // They are part of the layer's digest, and of nothing else.
    let tar = [small(), tar_of(&[("late", Regular, "", b"x")])].concat();
    let layer = import("behind", &tar).unwrap();
    assert_eq!(layer.diff_id.0, spec::Digest::of(&tar));
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let ground = Ground::new("bomb");
    let zeros = vec![0; 8 << 20];
    let tar = tar_of(&[("a", Regular, "", &zeros), ("b", Regular, "", &zeros)]);
    let error = ground.unpack_as(&tar, Rights::current(), Limit(10 << 20)).unwrap_err();
    assert_eq!(error.kind, Kind::TooLarge);
    assert_eq!(error.to_string(), "cannot unpack b: the layer is larger than 10MiB when it is unpacked");
    assert_eq!(error.hint.unwrap(), "SAMPAN_MAX_LAYER_SIZE=SIZE, or none, permits more");
    assert!(!ground.root().join("b").exists());
    ground.unpack_as(&tar, Rights::current(), Limit(16 << 20)).unwrap();
}

#[test]
fn a_disk_keeps_its_reserve() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: a filesystem of one's own needs root");
    }
    const INSIDE: &str = "SAMPAN_TEST_RESERVE";
    if std::env::var_os(INSIDE).is_none() {
        let mut again = Command::new("unshare");
        again.args(["-m", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
        let done = again.args(["--exact", "a_disk_keeps_its_reserve"]).env(INSIDE, "1").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        return;
    }
    let ground = Ground::new("reserve");
    let root = ground.root();
    mount("tmpfs", &root, "tmpfs", MountFlags::empty(), c"size=64m,nr_inodes=2000").unwrap();
    let ones = vec![1; 16 << 20];
    let names = ["a", "b", "c", "d", "e"];
    let why = ground.refused(Kind::TooLarge, &tar_of(&names.map(|name| (name, Regular, "", ones.as_slice()))));
    assert_eq!(why, "cannot unpack d: no space left on device but the 3.199MiB that are kept free");
    let left = rustix::fs::statvfs(&root).unwrap();
    assert!(left.f_bavail * left.f_frsize >= 3 << 20);
    names.iter().for_each(|name| _ = fs::remove_file(root.join(name)));
    // Empty files take what files are made of.
    let mut tar = vec![];
    (0..20_000).for_each(|n| entry(&mut tar, &format!("f{n}"), Regular, "", b""));
    let why = ground.refused(Kind::TooLarge, &tar);
    assert!(why.ends_with("no space left on device but the 100 inodes that are kept free"), "{why}");
    unmount(&root, UnmountFlags::DETACH).unwrap();
}

#[test]
fn what_is_unpacked_again_is_the_same() {
    let ground = Ground::new("again");
    let tar = tar_of(&[
        ("d/", Directory, "", b""),
        ("d/f", Regular, "", b"x"),
        ("d/l", Link, "d/f", b""),
        (".wh.w", Regular, "", b""),
    ]);
    ground.unpack(&tar).unwrap();
    ground.unpack(&tar).unwrap();
    let file = fs::metadata(ground.root().join("d/f")).unwrap();
    assert_eq!((file.nlink(), FileType::from_raw_mode(file.mode())), (2, FileType::RegularFile));
}
