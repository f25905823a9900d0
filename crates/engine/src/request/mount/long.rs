//! `--mount type=bind|tmpfs,KEY=VALUE…`.

use super::{
    Bind, Flags, Idmap, Invalid, Kind, Mount, Propagation, Recursion, Relabel, Tmpfs, csv, idmap, mode, once, text,
};

const HOW: &str = "write KEY=VALUE, separated by commas: type=bind,src=/srv,dst=/www,ro";

#[derive(Default)]
struct Fields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    exec: Option<bool>,
    dev: Option<bool>,
    suid: Option<bool>,
    create: Option<bool>,
    recursion: Option<Recursion>,
    propagation: Option<Propagation>,
    relabel: Option<Relabel>,
    chown: Option<bool>,
    idmap: Option<Idmap>,
    tmpfs: Tmpfs,
    /// The first option that only makes sense for one type, with that type.
    of_bind: Option<String>,
    of_tmpfs: Option<String>,
}

/// # Errors
/// [`Invalid`] for unknown types and keys, missing or relative targets, contradicting options.
pub fn long(spec: &str) -> Result<Mount, Invalid> {
    let mut fields = Fields::default();
    for field in csv::fields(spec)? {
        fields.take(&field)?;
    }
    fields.mount()
}

impl Fields {
    fn take(&mut self, field: &str) -> Result<(), Invalid> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        let key = key.to_ascii_lowercase();
        let key = key.as_str();
        let flag = || value.map_or(Ok(true), spec::unit::boolean);
        let text = || {
            value.filter(|value| !value.is_empty()).ok_or_else(|| {
                Invalid::new(if key.is_empty() { "an empty field".into() } else { format!("no value for {key:?}") })
                    .hint(HOW)
            })
        };
        match key {
            "type" => return once(&mut self.kind, text()?.to_ascii_lowercase(), field),
            "source" | "src" => return once(&mut self.source, text()?.to_owned(), field),
            "target" | "destination" | "dst" => return once(&mut self.target, text::target(text()?)?, field),
            "readonly" | "ro" => return once(&mut self.read_only, flag()?, field),
            "rw" => return once(&mut self.read_only, !flag()?, field),
            "exec" => return once(&mut self.exec, flag()?, field),
            "noexec" => return once(&mut self.exec, !flag()?, field),
            "dev" => return once(&mut self.dev, flag()?, field),
            "nodev" => return once(&mut self.dev, !flag()?, field),
            "suid" => return once(&mut self.suid, flag()?, field),
            "nosuid" => return once(&mut self.suid, !flag()?, field),
            // docker: for its desktop version only.
            "consistency" => return Ok(()),
            "tmpfs-size" => self.tmpfs.set("size", text()?).unwrap_or(Ok(()))?,
            "tmpfs-mode" => {
                let mode =
                    mode(text()?).ok_or_else(|| Invalid::new(format!("{field}: not an octal mode")).hint("1777"))?;
                self.tmpfs.mode = Some(mode);
            }
            _ => {
                self.take_bind(key, field, flag, text)?;
                self.of_bind.get_or_insert_with(|| key.to_owned());
                return Ok(());
            }
        }
        self.of_tmpfs.get_or_insert_with(|| key.to_owned());
        Ok(())
    }

    fn take_bind<'a>(
        &mut self,
        key: &str,
        field: &str,
        flag: impl Fn() -> Result<bool, Invalid>,
        text: impl Fn() -> Result<&'a str, Invalid>,
    ) -> Result<(), Invalid> {
        let unknown =
            |value: &str, known: &str| Invalid::new(format!("unknown {key} {value:?}")).hint(known.to_owned());
        match key {
            "bind-propagation" => {
                let value = text()?;
                let propagation = Propagation::parse(value)
                    .ok_or_else(|| unknown(value, "[r]private, [r]slave, [r]shared or [r]unbindable"))?;
                once(&mut self.propagation, propagation, field)
            }
            "bind-nonrecursive" => {
                let recursion = if flag()? { Recursion::Alone } else { Recursion::Recursive };
                once(&mut self.recursion, recursion, field)
            }
            "bind-recursive" => {
                let recursion = match text()? {
                    "enabled" => Recursion::Recursive,
                    "disabled" => Recursion::Alone,
                    "writable" => Recursion::WritableBelow,
                    "readonly" => Recursion::ReadOnlyBelow,
                    value => return Err(unknown(value, "enabled, disabled, writable or readonly")),
                };
                once(&mut self.recursion, recursion, field)
            }
            "bind-create-src" => once(&mut self.create, flag()?, field),
            "relabel" => {
                let relabel = match text()? {
                    "shared" => Relabel::Shared,
                    "private" => Relabel::Private,
                    value => return Err(unknown(value, "shared or private")),
                };
                once(&mut self.relabel, relabel, field)
            }
            "u" | "chown" => once(&mut self.chown, flag()?, field),
            "idmap" if field.contains('=') => once(&mut self.idmap, idmap(text()?)?, field),
            "idmap" => once(&mut self.idmap, Idmap::default(), field),
            _ => {
                text()?;
                Err(Invalid::new(format!("unknown field {key:?}")).hint(HOW))
            }
        }
    }

    fn mount(self) -> Result<Mount, Invalid> {
        let flags =
            Flags { read_only: self.read_only.unwrap_or(false), exec: self.exec, dev: self.dev, suid: self.suid };
        let kind = self.kind.as_deref().unwrap_or("volume");
        let stray = |field: &Option<String>| match field {
            Some(field) => Err(Invalid::new(format!("{field:?} does not go with type={kind}"))),
            None => Ok(()),
        };
        let no_target = || Invalid::new("no target").hint("add dst=/PATH");
        let kind = match kind {
            "bind" => {
                stray(&self.of_tmpfs)?;
                let source = self.source.ok_or_else(|| Invalid::new("no source").hint("add src=/PATH"))?;
                if self.recursion == Some(Recursion::ReadOnlyBelow) && !flags.read_only {
                    return Err(Invalid::new("bind-recursive=readonly without readonly").hint("add readonly"));
                }
                Kind::Bind(Bind {
                    source: source.into(),
                    create: self.create.unwrap_or(false),
                    recursion: self.recursion.unwrap_or_default(),
                    propagation: self.propagation,
                    relabel: self.relabel,
                    chown: self.chown.unwrap_or(false),
                    idmap: self.idmap,
                })
            }
            "tmpfs" => {
                stray(&self.of_bind)?;
                stray(&self.source.map(|_| "source".to_owned()))?;
                Kind::Tmpfs(self.tmpfs)
            }
            "volume" => {
                return Err(Invalid::new("named volumes are not supported by this version")
                    .hint("use a path: type=bind,src=/PATH,dst=/PATH"));
            }
            other => return Err(Invalid::new(format!("unknown mount type {other:?}")).hint("type=bind or type=tmpfs")),
        };
        Ok(Mount { target: self.target.ok_or_else(no_target)?, flags, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::super::TmpfsSize;
    use super::*;
    use spec::unit::Size;

    #[test]
    fn reads_binds() {
        let plain = Bind { source: "/s".into(), ..Bind::default() };
        for text in ["type=bind,source=/s,target=/t", "type=bind,src=/s,dst=/t", "TYPE=bind,Src=/s,destination=/t/"] {
            let mount = Mount { target: "/t".into(), flags: Flags::default(), kind: Kind::Bind(plain.clone()) };
            assert_eq!(long(text), Ok(mount), "{text}");
        }
        let text = "type=bind,\"src=/a,b\",dst=/t,ro,bind-propagation=rshared,bind-recursive=readonly,relabel=private,\
                    U,idmap,nosuid,bind-create-src";
        let mount = long(text).unwrap();
        assert_eq!(mount.flags, Flags { read_only: true, suid: Some(false), ..Flags::default() });
        let all = Bind {
            source: "/a,b".into(),
            create: true,
            recursion: Recursion::ReadOnlyBelow,
            propagation: Some(Propagation::RecursiveShared),
            relabel: Some(Relabel::Private),
            chown: true,
            idmap: Some(Idmap::default()),
        };
        assert_eq!(mount.kind, Kind::Bind(all));
        assert!(!long("type=bind,src=/s,dst=/t,readonly=false").unwrap().flags.read_only);
    }

    #[test]
    fn reads_tmpfs() {
        let mount = long("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700").unwrap();
        let size = Some(TmpfsSize::Bytes(Size::from_bytes(1 << 20)));
        assert_eq!(mount.kind, Kind::Tmpfs(Tmpfs { size, mode: Some(0o700), ..Tmpfs::default() }));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "an empty field"),
            ("src=/s,dst=/t", "named volumes are not supported by this version"),
            ("type=volume,src=data,dst=/t", "named volumes are not supported by this version"),
            ("type=nfs,dst=/t", "unknown mount type \"nfs\""),
            ("type=bind,dst=/t", "no source"),
            ("type=bind,src=/s", "no target"),
            ("type=bind,src=,dst=/t", "no value for \"src\""),
            ("type=bind,src=/s,dst=t", "the container path \"t\" is not absolute"),
            ("type=bind,src=/s,dst=/t,dst=/u", "\"dst=/u\" repeats or contradicts an earlier option"),
            ("type=bind,src=/s,dst=/t,ro=maybe", "\"maybe\" is neither true nor false"),
            ("type=bind,src=/s,dst=/t,nosuch=1", "unknown field \"nosuch\""),
            ("type=bind,src=/s,dst=/t,tmpfs-size=1m", "\"tmpfs-size\" does not go with type=bind"),
            ("type=bind,src=/s,dst=/t,bind-propagation=x", "unknown bind-propagation \"x\""),
            ("type=bind,src=/s,dst=/t,bind-recursive=readonly", "bind-recursive=readonly without readonly"),
            ("type=tmpfs,src=/s,dst=/t", "\"source\" does not go with type=tmpfs"),
            ("type=tmpfs,dst=/t,chown", "\"chown\" does not go with type=tmpfs"),
            ("type=tmpfs,dst=/t,tmpfs-mode=8", "tmpfs-mode=8: not an octal mode"),
            ("type=tmpfs,\"dst=/t", "a quote that is not closed"),
        ] {
            assert_eq!(long(text).unwrap_err().why, why, "{text}");
        }
    }
}
