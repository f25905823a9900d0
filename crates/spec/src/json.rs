//! JSON as Go's programs write it.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// What Go writes as null where it has nothing: that is absent, too, but serde takes it for a list only when told.
///
/// # Errors
/// The text is no JSON, or not that of a `T`.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(text).or_else(|error| {
        let mut value = serde_json::from_slice(text)?;
        // Without one it is not what was wrong; and a Value has forgotten what was named twice.
        if drop_nulls(&mut value) { serde_json::from_value(value).map_err(|_| error) } else { Err(error) }
    })
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
