//! JSON as Go's programs write it.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// What Go writes as null where it has nothing: that is absent, too, but serde takes it for a list only when told. And a
/// field that has no name of its own in Go is written `Cpus`: it is what its small letters say.
///
/// # Errors
/// The text is no JSON, or not that of a `T`.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    if has_capital_key(text) {
        let mut value = serde_json::from_slice(text)?;
        drop_nulls(&mut value);
        return T::deserialize(AnyCase(value));
    }
    serde_json::from_slice(text).or_else(|error| {
        let mut value = serde_json::from_slice(text)?;
        // Without one it is not what was wrong; and a Value has forgotten what was named twice.
        if drop_nulls(&mut value) { serde_json::from_value(value).map_err(|_| error) } else { Err(error) }
    })
}

/// No name that a specification gives begins so. By the colons, of which there are few: it is part of every start.
fn has_capital_key(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let is_capital = |before: &str| {
        let key = before.trim_ascii_end().strip_suffix('"')?;
        key.as_bytes().get(key.rfind('"')? + 1).map(u8::is_ascii_uppercase)
    };
    text.match_indices(':').any(|(at, _)| is_capital(&text[..at]) == Some(true))
}

/// Whose keys stand for the fields of a struct in any case, where the exact one is not there; other maps keep theirs.
struct AnyCase(Value);

impl<'de> IntoDeserializer<'de, Error> for AnyCase {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for AnyCase {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(fields) => {
                visitor.visit_map(MapDeserializer::new(fields.into_iter().map(|(key, value)| (key, Self(value)))))
            }
            Value::Array(values) => visitor.visit_seq(SeqDeserializer::new(values.into_iter().map(Self))),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Value::Object(fields) = &mut self.0 {
            for name in names {
                let same = || fields.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
                if !fields.contains_key(*name)
                    && let Some(value) = same().and_then(|key| fields.remove(&key))
                {
                    fields.insert((*name).to_owned(), value);
                }
            }
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// Also how a section is kept as text.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// Whether there was one.
fn drop_nulls(value: &mut Value) -> bool {
    match value {
        Value::Object(fields) => {
            let before = fields.len();
            fields.retain(|_, value| !value.is_null());
            let fewer = fields.len() < before;
            fields.values_mut().fold(fewer, |found, value| drop_nulls(value) | found)
        }
        Value::Array(values) => values.iter_mut().fold(false, |found, value| drop_nulls(value) | found),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::runtime::Config;

    #[test]
    fn what_go_writes_as_null_is_absent() {
        let text =
            br#"{"ociVersion": "1.0.2", "mounts": null, "linux": {"namespaces": null, "seccomp": {"syscalls": null}}}"#;
        let config: Config = parse(text).unwrap();
        assert!(config.mounts.is_empty());
        let seccomp = config.linux.unwrap().seccomp.unwrap();
        assert!(seccomp.read().unwrap().syscalls.is_empty());
        let error = parse::<Config>(br#"{"mounts": 3}"#).unwrap_err().to_string();
        assert!(error.contains("expected a sequence"), "{error}");
    }

    #[test]
    fn a_key_is_taken_in_another_case() {
        let text = br#"{"Process": {"Args": ["a"], "Env": null, "OOMScoreAdj": 5, "cwd": "/exact", "Cwd": "/other"},
            "annotations": {"Process": "Kept"}, "Mounts" : [{"Destination": "/proc"}],
            "linux": {"Resources": {"CPU": {"Cpus": "0", "shares": 3}}, "Seccomp": {"DefaultAction": "SCMP_ACT_ALLOW"},
            "sysctl": {"Kernel": "1"}}}"#;
        let config: Config = parse(text).unwrap();
        let process = config.process.unwrap();
        assert_eq!((process.args, process.oom_score_adj), (vec!["a".to_owned()], Some(5)));
        assert_eq!(process.cwd, "/exact");
        assert_eq!(config.annotations["Process"], "Kept");
        assert_eq!(config.mounts[0].destination, "/proc");
        let linux = config.linux.unwrap();
        assert_eq!(linux.sysctl["Kernel"], "1");
        let cpu = linux.resources.unwrap().cpu.unwrap();
        assert_eq!((cpu.cpus.as_str(), cpu.shares), ("0", Some(3)));
        assert_eq!(linux.seccomp.unwrap().read().unwrap().default_action, "SCMP_ACT_ALLOW");
        let error = parse::<Config>(br#"{"Mounts": 3}"#).unwrap_err().to_string();
        assert!(error.contains("expected a sequence"), "{error}");
    }

    #[test]
    fn a_value_in_capitals_is_no_key() {
        for text in [r#"{"a": "CAP_KILL", "b": ["X", "Y"]}"#, r#"{"a": "B"#, r#"{"a": "B:""#, ":", r#"":"#, r#""A"#] {
            assert!(!super::has_capital_key(text.as_bytes()), "{text}");
        }
        assert!(super::has_capital_key(b"{\"A\"\n : 1}"));
    }

    #[test]
    fn a_section_is_written_as_it_was() {
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW",  "syscalls":[]}"#;
        let config: Config = parse(format!(r#"{{"linux": {{"seccomp": {text}}}}}"#).as_bytes()).unwrap();
        let section = config.linux.unwrap().seccomp.unwrap();
        assert_eq!(section.text(), Some(text));
        assert_eq!(serde_json::to_string(&section).unwrap(), text);
        assert_eq!(section.read().unwrap().default_action, "SCMP_ACT_ALLOW");
        let none: Config = parse(br#"{"linux": {"seccomp": null}}"#).unwrap();
        assert_eq!(none.linux.unwrap().seccomp, None);
    }
}
