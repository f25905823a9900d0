//! Archives as tests need them, honest or not, and a directory for what comes out of them.

#![allow(dead_code)]

use std::fs;
use std::path::PathBuf;

/// A directory that is removed when the test ends.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sampan-image-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        sys::tree::remove_path(&self.0).unwrap();
    }
}

/// One entry of a test archive; the path goes in as it is, which tar::Builder would not allow.
pub fn entry(tar: &mut Vec<u8>, path: &str, kind: tar::EntryType, link: &str, content: &[u8]) {
    entry_of(tar, path, kind, link, content, |header| header.set_mode(0o755));
}

pub fn entry_of(
    tar: &mut Vec<u8>,
    path: &str,
    kind: tar::EntryType,
    link: &str,
    content: &[u8],
    set: impl Fn(&mut tar::Header),
) {
    let mut header = tar::Header::new_gnu();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..path.len()].copy_from_slice(path.as_bytes());
    gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    set(&mut header);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// PAX records for the entry that follows (pax(1)).
pub fn pax(tar: &mut Vec<u8>, records: &[(&str, &[u8])]) {
    let mut content = vec![];
    for (key, value) in records {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let length = (1..).map(|digits| rest + digits).find(|n| rest + n.to_string().len() == *n).unwrap();
        content.extend_from_slice(format!("{length} {key}=").as_bytes());
        content.extend_from_slice(value);
        content.push(b'\n');
    }
    entry(tar, "pax", tar::EntryType::XHeader, "", &content);
}
