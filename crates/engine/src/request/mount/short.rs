//! `-v SOURCE:TARGET[:OPTIONS]` and `--tmpfs TARGET[:OPTIONS]`.

use super::{Bind, Idmap, Invalid, Kind, Mount, Propagation, Recursion, Relabel, Seen, Tmpfs, idmap, once, text};

const VOLUME: &str = "write DIRECTORY:TARGET[:OPTIONS]: \"$PWD\":/www:ro";

/// # Errors
/// [`Invalid`] for a volume by name or without source, a target that is no absolute path, an option that is unknown
/// or contradicts an earlier one.
pub fn volume(spec: &str) -> Result<Mount, Invalid> {
    let mut parts = spec.splitn(3, ':');
    let first = parts.next().unwrap_or_default();
    let Some(target) = parts.next() else {
        if first.is_empty() {
            return Err(Invalid::new("an empty volume").hint(VOLUME));
        }
        let hint = format!("name a directory: DIRECTORY:{first}, or use --tmpfs {first}");
        return Err(Invalid::new("anonymous volumes are not supported by this version").hint(hint));
    };
    if first.is_empty() {
        return Err(Invalid::new("no source before the colon").hint(VOLUME));
    }
    if !first.starts_with(['/', '.']) {
        let hint = format!("use a path: ./{first}");
        return Err(Invalid::new("named volumes are not supported by this version").hint(hint));
    }
    let mut options = Options::default();
    for word in parts.next().unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
        options.take(word)?;
    }
    let flags = options.seen.flags();
    let bind = Bind {
        source: first.into(),
        create: true,
        recursion: options.recursion.unwrap_or_default(),
        propagation: options.propagation,
        relabel: options.relabel,
        chown: options.chown.is_some(),
        idmap: options.idmap,
    };
    Ok(Mount { target: text::target(target)?, flags, kind: Kind::Bind(bind) })
}

#[derive(Default)]
struct Options {
    seen: Seen,
    recursion: Option<Recursion>,
    propagation: Option<Propagation>,
    relabel: Option<Relabel>,
    chown: Option<()>,
    idmap: Option<Idmap>,
}

impl Options {
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
            // docker: hints for its desktop version's file sharing, and for volumes by name; without effect here.
            "consistent" | "cached" | "delegated" | "nocopy" => Ok(()),
            _ => match word.strip_prefix("idmap=") {
                Some(map) => once(&mut self.idmap, idmap(map)?, word),
                None => Err(Invalid::new(format!("unknown mount option {word:?}")).hint(
                    "ro, rw, z, Z, U, idmap, bind, rbind, [no]exec, [no]dev, [no]suid, [r]private, [r]slave, [r]shared",
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
            Kind::Tmpfs(_) => panic!("{text}"),
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
    fn says_what_is_wrong_with_a_volume() {
        for (text, why) in [
            ("", "an empty volume"),
            ("/data", "anonymous volumes are not supported by this version"),
            (":/t", "no source before the colon"),
            ("data:/t", "named volumes are not supported by this version"),
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
        assert_eq!(volume("data:/t").unwrap_err().hint.as_deref(), Some("use a path: ./data"));
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
