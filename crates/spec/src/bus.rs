//! Values of D-Bus, which systemd is spoken to in (D-Bus specification, "Type system").

use std::fmt;

/// A value with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Byte(u8),
    Bool(bool),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    Text(String),
    Path(String),
    Signature(String),
    /// The type of its elements, as there may be none.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    /// Of an array that is a dictionary: key and value.
    Entry(Box<[Value; 2]>),
    Variant(Box<Value>),
}

impl Value {
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Array("y".into(), bytes.iter().copied().map(Self::Byte).collect())
    }

    #[must_use]
    pub fn signature(&self) -> String {
        let all = |values: &[Self]| values.iter().map(Self::signature).collect::<String>();
        match self {
            Self::Byte(_) => "y".into(),
            Self::Bool(_) => "b".into(),
            Self::Int16(_) => "n".into(),
            Self::Uint16(_) => "q".into(),
            Self::Int32(_) => "i".into(),
            Self::Uint32(_) => "u".into(),
            Self::Int64(_) => "x".into(),
            Self::Uint64(_) => "t".into(),
            Self::Double(_) => "d".into(),
            Self::Text(_) => "s".into(),
            Self::Path(_) => "o".into(),
            Self::Signature(_) => "g".into(),
            Self::Array(of, _) => format!("a{of}"),
            Self::Struct(values) => format!("({})", all(values)),
            Self::Entry(pair) => format!("{{{}}}", all(&**pair)),
            Self::Variant(_) => "v".into(),
        }
    }

    /// As arguments of busctl(1), behind the signature of all.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let all = |values: &[Self]| values.iter().flat_map(Self::words).collect::<Vec<_>>();
        match self {
            Self::Array(_, values) => [vec![values.len().to_string()], all(values)].concat(),
            Self::Struct(values) => all(values),
            Self::Entry(pair) => all(&**pair),
            Self::Variant(value) => [vec![value.signature()], value.words()].concat(),
            plain => vec![plain.to_string()],
        }
    }
}

/// For messages.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(n) => n.fmt(f),
            Self::Bool(is) => is.fmt(f),
            Self::Int16(n) => n.fmt(f),
            Self::Uint16(n) => n.fmt(f),
            Self::Int32(n) => n.fmt(f),
            Self::Uint32(n) => n.fmt(f),
            Self::Int64(n) => n.fmt(f),
            Self::Uint64(n) => n.fmt(f),
            Self::Double(n) => n.fmt(f),
            Self::Text(text) | Self::Path(text) | Self::Signature(text) => f.write_str(text),
            Self::Array(..) | Self::Struct(_) | Self::Entry(_) | Self::Variant(_) => {
                f.write_str(&self.words().join(" "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn a_property_as_busctl_takes_it() {
        let pids = Value::Array("u".into(), vec![Value::Uint32(7), Value::Uint32(8)]);
        let property = Value::Struct(vec![Value::text("PIDs"), Value::Variant(Box::new(pids))]);
        assert_eq!(property.signature(), "(sv)");
        assert_eq!(property.words(), ["PIDs", "au", "2", "7", "8"]);
        assert_eq!(Value::bytes(&[]).signature(), "ay");
    }
}
