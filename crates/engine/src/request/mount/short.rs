//! `-v [SOURCE:]TARGET[:OPTIONS]` and `--tmpfs TARGET[:OPTIONS]`.

use super::object::{self, Object};
use super::{Bind, Idmap, Invalid, Kind, Mount, Propagation, Recursion, Relabel, Seen, Tmpfs, idmap, once, text};

const VOLUME: &str = "write [SOURCE:]TARGET[:OPTIONS]: data:/var/lib/data, or \"$PWD\":/www:ro";

/// A source that is a path is the host's; another is a volume's name; without one it is a volume that has none.
///
/// # Errors
/// [`Invalid`] for what is no name, a target that is no absolute path, an option that is unknown, contradicts an earlier
/// one, or is for paths only.
pub fn volume(spec: &str) -> Result<Mount, Invalid> {
    let mut parts = spec.splitn(3, ':');
    let first = parts.next().unwrap_or_default();
    let Some(target) = parts.next() else {
        if first.is_empty() {
            return Err(Invalid::new("an empty volume").hint(VOLUME));
        }
        let kind = Kind::Volume(Object::default());
        return Ok(Mount { target: text::target(first)?, flags: super::Flags::default(), kind });
    };
    if first.is_empty() {
        return Err(Invalid::new("no source before the colon").hint(VOLUME));
    }
    let mut options = Options::default();
    for word in parts.next().unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
        options.take(word)?;
    }
    let flags = options.seen.flags();
    let kind = if first.starts_with(['/', '.']) { options.bind(first)? } else { options.object(first)? };
    Ok(Mount { target: text::target(target)?, flags, kind })
}

#[derive(Default)]
struct Options {
    seen: Seen,
    recursion: Option<Recursion>,
    propagation: Option<Propagation>,
    relabel: Option<Relabel>,
    chown: Option<()>,
    idmap: Option<Idmap>,
    copy: Option<bool>,
}

impl Options {
    fn bind(self, source: &str) -> Result<Kind, Invalid> {
        Ok(Kind::Bind(Bind {
            source: source.into(),
            create: true,
            recursion: self.recursion.unwrap_or_default(),
            propagation: self.propagation,
            relabel: self.relabel,
            chown: self.chown.is_some(),
            idmap: self.idmap,
        }))
    }

    fn object(self, name: &str) -> Result<Kind, Invalid> {
        let name = object::name(name)?;
        let stray = self.propagation.map(Propagation::option).or(self.recursion.map(|_| "bind"));
        if let Some(word) = stray {
            return Err(Invalid::new(format!("{word:?} is for a path of the host, not for the volume {name}"))
                .hint(format!("leave it out, or write a path: ./{name}")));
        }
        Ok(Kind::Volume(Object {
            name: Some(name),
            copy: self.copy.unwrap_or(true),
            relabel: self.relabel,
            chown: self.chown.is_some(),
            idmap: self.idmap,
            ..Object::default()
        }))
    }

    fn take(&mut self, word: &str) -> Result<(), Invalid> {
        if self.seen.word(word)? {
            return Ok(());
        }
        if let Some(propagation) = Propagation::parse(word) {
            return once(&mut self.propagation, propagation, word);
        }
        match word {
            "bind" => once(&mut self.recursion, Recursion::Alone, word),
            "rbind" => once(&mut self.recursion, Recursion::Recursive, word),
            "z" => once(&mut self.relabel, Relabel::Shared, word),
            "Z" => once(&mut self.relabel, Relabel::Private, word),
            "U" => once(&mut self.chown, (), word),
            "idmap" => once(&mut self.idmap, Idmap::default(), word),
            // Of a path nothing is ever copied (docker takes the word there, too).
            "nocopy" => once(&mut self.copy, false, word),
            "copy" => once(&mut self.copy, true, word),
            // docker: hints for its desktop version's file sharing; without effect here.
            "consistent" | "cached" | "delegated" => Ok(()),
            _ => match word.strip_prefix("idmap=") {
                Some(map) => once(&mut self.idmap, idmap(map)?, word),
                None => Err(Invalid::new(format!("unknown mount option {word:?}")).hint(
                    "ro, rw, z, Z, U, idmap, [no]copy, bind, rbind, [no]exec, [no]dev, [no]suid, [r]private, [r]slave, [r]shared",
                )),
            },
        }
    }
}

/// # Errors
/// [`Invalid`] for a target that is no absolute path, an option that is unknown or contradicts an earlier one.
pub fn tmpfs(spec: &str) -> Result<Mount, Invalid> {
    let (target, options) = spec.split_once(':').unwrap_or((spec, ""));
    let target = text::target(target)?;
    let mut seen = Seen::default();
    let mut tmpfs = Tmpfs::default();
    for word in options.split(',').filter(|word| !word.is_empty()) {
        if seen.word(word)? {
            continue;
        }
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        tmpfs.set(key, value).unwrap_or_else(|| {
            Err(Invalid::new(format!("unknown tmpfs option {word:?}"))
                .hint("size=, mode=, uid=, gid=, nr_inodes=, ro, rw, [no]exec, [no]dev, [no]suid"))
        })?;
    }
    Ok(Mount { target, flags: seen.flags(), kind: Kind::Tmpfs(tmpfs) })
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, TmpfsSize};
    use super::*;
    use spec::unit::Size;
    use std::path::PathBuf;

    fn bind(text: &str) -> (Flags, Bind) {
        let mount = volume(text).unwrap();
        assert_eq!(mount.target, "/t");
        match mount.kind {
            Kind::Bind(bind) => (mount.flags, bind),
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn reads_volumes() {
        let plain = Bind { source: "/s".into(), create: true, ..Bind::default() };
        assert_eq!(bind("/s:/t"), (Flags::default(), plain.clone()));
        assert_eq!(bind("/s:/t/:").1, plain);
        assert_eq!(bind("./s:/t").1.source, PathBuf::from("./s"));
        assert_eq!(bind("/s:/t:ro").0, Flags { read_only: true, ..Flags::default() });
        let (flags, all) = bind("/s:/t:rw,Z,U,idmap,rslave,bind,noexec,nodev,suid,cached");
        assert_eq!(flags, Flags { read_only: false, exec: Some(false), dev: Some(false), suid: Some(true) });
        let expected = Bind {
            recursion: Recursion::Alone,
            propagation: Some(Propagation::RecursiveSlave),
            relabel: Some(Relabel::Private),
            chown: true,
            idmap: Some(Idmap::default()),
            ..plain
        };
        assert_eq!(all, expected);
        assert_eq!(bind("/s:/t:idmap=uids=0-5-1;gids=0-5-1").1.idmap.unwrap().uids[0].host_id, 5);
    }

    #[test]
    fn reads_names() {
        let object = |text: &str| match volume(text).unwrap() {
            Mount { kind: Kind::Volume(object), flags, target } => (target, object, flags.read_only),
            other => panic!("{other:?}"),
        };
        assert_eq!(object("/t/"), ("/t".into(), Object::default(), false));
        let named = Object { name: Some("data".into()), ..Object::default() };
        assert_eq!(object("data:/t"), ("/t".into(), named.clone(), false));
        let all = Object { copy: false, relabel: Some(Relabel::Shared), chown: true, ..named };
        assert_eq!(object("data:/t:ro,nocopy,z,U"), ("/t".into(), all, true));
    }

    #[test]
    fn says_what_is_wrong_with_a_volume() {
        for (text, why) in [
            ("", "an empty volume"),
            (":/t", "no source before the colon"),
            ("a/b:/t", "\"a/b\" is no name of a volume"),
            ("data:/t:rslave", "\"rslave\" is for a path of the host, not for the volume data"),
            ("data:/t:rbind", "\"bind\" is for a path of the host, not for the volume data"),
            ("data:/t:copy,nocopy", "\"nocopy\" repeats or contradicts an earlier option"),
            ("/s:t", "the container path \"t\" is not absolute"),
            ("/s:/", "the container's / cannot be mounted over"),
            ("/s:", "the container path \"\" is not absolute"),
            ("/s:/t:ro,rw", "\"rw\" repeats or contradicts an earlier option"),
            ("/s:/t:z,Z", "\"Z\" repeats or contradicts an earlier option"),
            ("/s:/t:shared,rslave", "\"rslave\" repeats or contradicts an earlier option"),
            ("/s:/t:readonly", "unknown mount option \"readonly\""),
            ("/s:/t:ro:rw", "unknown mount option \"ro:rw\""),
            ("/s:/t:idmap=7", "\"7\" is not an id map"),
        ] {
            assert_eq!(volume(text).unwrap_err().why, why, "{text}");
        }
        assert_eq!(volume("a/b:/t").unwrap_err().hint.as_deref().map(|hint| hint.ends_with("./NAME")), Some(true));
    }

    #[test]
    fn reads_tmpfs() {
        let mount = tmpfs("/run:rw,noexec,size=64m,mode=1777,uid=5,gid=6,nr_inodes=1k").unwrap();
        assert_eq!(mount.flags, Flags { exec: Some(false), ..Flags::default() });
        let size = Some(TmpfsSize::Bytes(Size::from_bytes(64 << 20)));
        let all = Tmpfs { size, mode: Some(0o1777), uid: Some(5), gid: Some(6), inodes: Some(1024) };
        assert_eq!((mount.target.as_str(), mount.kind), ("/run", Kind::Tmpfs(all)));
        let Kind::Tmpfs(half) = tmpfs("/run:size=50%").unwrap().kind else { panic!() };
        assert_eq!(half.size, Some(TmpfsSize::Percent(50)));
        for (text, why) in [
            ("run", "the container path \"run\" is not absolute"),
            ("/run:size=", "a size starts with a number"),
            ("/run:size=0%", "\"0%\" is not from 1% to 100%"),
            ("/run:mode=999", "mode=999: not an octal mode"),
            ("/run:mode=77777", "mode=77777: not an octal mode"),
            ("/run:uid=root", "uid=root: not a number"),
            ("/run:huge=always", "unknown tmpfs option \"huge=always\""),
            ("/run:exec,noexec", "\"noexec\" repeats or contradicts an earlier option"),
        ] {
            assert_eq!(tmpfs(text).unwrap_err().why, why, "{text}");
        }
    }
}
