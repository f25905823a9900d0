//! `--mount type=bind|volume|tmpfs|image|devpts,KEY=VALUE…`.

use super::object::{self, Driver, Object};
use super::{
    Bind, Devpts, Flags, Idmap, Image, Invalid, Kind, Mount, Propagation, Recursion, Relabel, Tmpfs, csv, idmap, mode,
    once, text,
};

const HOW: &str = "write KEY=VALUE, separated by commas: type=bind,src=/srv,dst=/www,ro";
const KINDS: &str = "type=bind, volume, tmpfs, image or devpts";

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
    copy: Option<bool>,
    subpath: Option<String>,
    driver: Driver,
    tmpfs: Tmpfs,
    devpts: Devpts,
    /// Keys that only make sense for these types.
    particular: Vec<(String, &'static [&'static str])>,
}

/// # Errors
/// [`Invalid`] for unknown types and keys, missing or relative targets, contradicting options.
pub fn long(spec: &str) -> Result<Mount, Invalid> {
    let mut fields = Fields::default();
    for field in csv::fields(spec)? {
        Field::of(&field).take(&mut fields)?;
    }
    fields.mount()
}

struct Field<'a> {
    whole: &'a str,
    key: String,
    value: Option<&'a str>,
}

impl<'a> Field<'a> {
    fn of(whole: &'a str) -> Self {
        let (key, value) = whole.split_once('=').map_or((whole, None), |(key, value)| (key, Some(value)));
        Self { whole, key: key.to_ascii_lowercase(), value }
    }

    fn flag(&self) -> Result<bool, Invalid> {
        self.value.map_or(Ok(true), spec::unit::boolean)
    }

    fn text(&self) -> Result<&'a str, Invalid> {
        let none = || match self.key.as_str() {
            "" => Invalid::new("an empty field").hint(HOW),
            key => Invalid::new(format!("no value for {key:?}")).hint(HOW),
        };
        self.value.filter(|value| !value.is_empty()).ok_or_else(none)
    }

    fn number(&self) -> Result<u32, Invalid> {
        text::number(self.text()?).ok_or_else(|| Invalid::new(format!("{}: not a number", self.whole)))
    }

    fn mode(&self) -> Result<u32, Invalid> {
        mode(self.text()?).ok_or_else(|| Invalid::new(format!("{}: not an octal mode", self.whole)).hint("1777"))
    }

    fn unknown(&self, value: &str, known: &str) -> Invalid {
        Invalid::new(format!("unknown {} {value:?}", self.key)).hint(known)
    }

    fn take(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let Self { whole, key, .. } = self;
        match key.as_str() {
            "type" => once(&mut fields.kind, self.text()?.to_ascii_lowercase(), whole),
            "source" | "src" => once(&mut fields.source, self.text()?.to_owned(), whole),
            "target" | "destination" | "dst" => once(&mut fields.target, text::target(self.text()?)?, whole),
            "readonly" | "ro" => once(&mut fields.read_only, self.flag()?, whole),
            "rw" | "readwrite" => once(&mut fields.read_only, !self.flag()?, whole),
            "exec" => once(&mut fields.exec, self.flag()?, whole),
            "noexec" => once(&mut fields.exec, !self.flag()?, whole),
            "dev" => once(&mut fields.dev, self.flag()?, whole),
            "nodev" => once(&mut fields.dev, !self.flag()?, whole),
            "suid" => once(&mut fields.suid, self.flag()?, whole),
            "nosuid" => once(&mut fields.suid, !self.flag()?, whole),
            // docker: for its desktop version only.
            "consistency" => Ok(()),
            _ => {
                let kinds = self.take_particular(fields)?;
                fields.particular.push((key.clone(), kinds));
                Ok(())
            }
        }
    }

    /// The types that have this key.
    fn take_particular(&self, fields: &mut Fields) -> Result<&'static [&'static str], Invalid> {
        let Self { whole, key, .. } = self;
        Ok(match key.as_str() {
            "tmpfs-size" => {
                fields.tmpfs.set("size", self.text()?).unwrap_or(Ok(()))?;
                &["tmpfs"]
            }
            "tmpfs-mode" => {
                fields.tmpfs.mode = Some(self.mode()?);
                &["tmpfs"]
            }
            "bind-propagation" => {
                let value = self.text()?;
                let propagation = Propagation::parse(value)
                    .ok_or_else(|| self.unknown(value, "[r]private, [r]slave, [r]shared or [r]unbindable"))?;
                once(&mut fields.propagation, propagation, whole)?;
                &["bind"]
            }
            "bind-nonrecursive" => {
                let recursion = if self.flag()? { Recursion::Alone } else { Recursion::Recursive };
                once(&mut fields.recursion, recursion, whole)?;
                &["bind"]
            }
            "bind-recursive" => {
                let recursion = match self.text()? {
                    "enabled" => Recursion::Recursive,
                    "disabled" => Recursion::Alone,
                    "writable" => Recursion::WritableBelow,
                    "readonly" => Recursion::ReadOnlyBelow,
                    value => return Err(self.unknown(value, "enabled, disabled, writable or readonly")),
                };
                once(&mut fields.recursion, recursion, whole)?;
                &["bind"]
            }
            "bind-create-src" => {
                once(&mut fields.create, self.flag()?, whole)?;
                &["bind"]
            }
            "relabel" => {
                let relabel = match self.text()? {
                    "shared" => Relabel::Shared,
                    "private" => Relabel::Private,
                    value => return Err(self.unknown(value, "shared or private")),
                };
                once(&mut fields.relabel, relabel, whole)?;
                &["bind", "volume"]
            }
            "u" | "chown" => {
                once(&mut fields.chown, self.flag()?, whole)?;
                &["bind", "volume"]
            }
            "idmap" => {
                let map = if whole.contains('=') { idmap(self.text()?)? } else { Idmap::default() };
                once(&mut fields.idmap, map, whole)?;
                &["bind", "volume"]
            }
            "volume-nocopy" | "nocopy" => {
                once(&mut fields.copy, !self.flag()?, whole)?;
                &["volume"]
            }
            "copy" => {
                once(&mut fields.copy, self.flag()?, whole)?;
                &["volume"]
            }
            "volume-subpath" | "image-subpath" | "subpath" => {
                once(&mut fields.subpath, object::subpath(self.text()?)?, whole)?;
                match key.as_str() {
                    "volume-subpath" => &["volume"],
                    "image-subpath" => &["image"],
                    _ => &["volume", "image"],
                }
            }
            "volume-opt" | "volume-label" => {
                let (name, value) = self.text()?.split_once('=').unwrap_or((self.text()?, ""));
                let list = if key == "volume-opt" { &mut fields.driver.options } else { &mut fields.driver.labels };
                list.push((name.to_owned(), value.to_owned()));
                &["volume"]
            }
            "volume-driver" => {
                local(self.text()?)?;
                &["volume"]
            }
            "uid" => {
                fields.devpts.uid = Some(self.number()?);
                &["devpts"]
            }
            "gid" => {
                fields.devpts.gid = Some(self.number()?);
                &["devpts"]
            }
            "mode" => {
                fields.devpts.mode = Some(self.mode()?);
                &["devpts"]
            }
            "max" => {
                fields.devpts.max = Some(self.number()?);
                &["devpts"]
            }
            _ => {
                self.text()?;
                return Err(Invalid::new(format!("unknown field {key:?}")).hint(HOW));
            }
        })
    }
}

/// # Errors
/// [`Invalid`] for another driver than the one there is.
pub fn local(driver: &str) -> Result<(), Invalid> {
    if driver == "local" {
        return Ok(());
    }
    Err(Invalid::new(format!("there is no volume driver {driver:?}")).hint("local is the only one"))
}

impl Fields {
    fn mount(self) -> Result<Mount, Invalid> {
        let mut flags =
            Flags { read_only: self.read_only.unwrap_or(false), exec: self.exec, dev: self.dev, suid: self.suid };
        let kind = self.kind.as_deref().unwrap_or("volume");
        if !["bind", "volume", "tmpfs", "image", "devpts"].contains(&kind) {
            return Err(Invalid::new(format!("unknown mount type {kind:?}")).hint(KINDS));
        }
        let stray = |key: &str| Err(Invalid::new(format!("{key:?} does not go with type={kind}")));
        if let Some((key, _)) = self.particular.iter().find(|(_, kinds)| !kinds.contains(&kind)) {
            return stray(key);
        }
        if self.source.is_some() && matches!(kind, "tmpfs" | "devpts") {
            return stray("source");
        }
        let kind = match kind {
            "bind" => {
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
            "tmpfs" => Kind::Tmpfs(self.tmpfs),
            "devpts" => Kind::Devpts(self.devpts),
            "image" => {
                let reference = self.source.ok_or_else(|| Invalid::new("no source").hint("add src=IMAGE"))?;
                // podman's default, and docker's only way.
                let writable = self.read_only == Some(false);
                flags.read_only = !writable;
                Kind::Image(Image { reference, writable, subpath: self.subpath })
            }
            _ => Kind::Volume(Object {
                name: self.source.as_deref().map(object::name).transpose()?,
                anonymous: false,
                copy: self.copy.unwrap_or(true),
                subpath: self.subpath,
                driver: self.driver,
                relabel: self.relabel,
                chown: self.chown.unwrap_or(false),
                idmap: self.idmap,
            }),
        };
        let target = self.target.ok_or_else(|| Invalid::new("no target").hint("add dst=/PATH"))?;
        Ok(Mount { target, flags, kind })
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
    fn reads_volumes_and_images() {
        let volume = |text: &str| match long(text).unwrap() {
            Mount { kind: Kind::Volume(volume), flags, .. } => (volume, flags.read_only),
            other => panic!("{other:?}"),
        };
        assert_eq!(volume("dst=/t"), (Object::default(), false));
        let named = Object { name: Some("data".into()), ..Object::default() };
        assert_eq!(volume("type=volume,src=data,dst=/t,ro"), (named.clone(), true));
        let text = "type=volume,source=data,dst=/t,volume-nocopy,volume-subpath=a/b,volume-driver=local,\
                    \"volume-opt=o=size=1m,uid=5\",volume-label=x=y,U,relabel=shared,idmap";
        let all = Object {
            copy: false,
            subpath: Some("a/b".into()),
            driver: Driver {
                options: vec![("o".into(), "size=1m,uid=5".into())],
                labels: vec![("x".into(), "y".into())],
            },
            relabel: Some(Relabel::Shared),
            chown: true,
            idmap: Some(Idmap::default()),
            ..named
        };
        assert_eq!(volume(text).0, all);
        let image = |text: &str| long(text).map(|mount| (mount.flags.read_only, mount.kind)).unwrap();
        let plain = Image { reference: "busybox:1".into(), ..Image::default() };
        assert_eq!(image("type=image,src=busybox:1,dst=/t"), (true, Kind::Image(plain.clone())));
        let part = Image { writable: true, subpath: Some("etc".into()), ..plain };
        assert_eq!(image("type=image,src=busybox:1,dst=/t,rw,subpath=etc"), (false, Kind::Image(part)));
        let devpts = Devpts { uid: Some(1), gid: Some(5), mode: Some(0o620), max: Some(9) };
        let read = long("type=devpts,dst=/pts,uid=1,gid=5,mode=0620,max=9").unwrap();
        assert_eq!(read.kind, Kind::Devpts(devpts));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "an empty field"),
            ("src=/s,dst=/t", "\"/s\" is no name of a volume"),
            ("type=nfs,dst=/t", "unknown mount type \"nfs\""),
            ("type=volume,src=a,dst=/t,volume-driver=nfs", "there is no volume driver \"nfs\""),
            ("type=volume,src=a,dst=/t,subpath=../b", "the path \"../b\" is not relative, or has a .."),
            ("type=volume,src=a,dst=/t,image-subpath=b", "\"image-subpath\" does not go with type=volume"),
            ("type=image,dst=/t", "no source"),
            ("type=devpts,src=/s,dst=/t", "\"source\" does not go with type=devpts"),
            ("type=devpts,dst=/t,max=x", "max=x: not a number"),
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
