//! Values as annotations write them: GVariant's text format, of which strings, numbers and lists of them are in use.
//!
//! Invariant: what has no type of its own gets the one that GVariant gives it: a number is an int32, with a point a
//! double.

use spec::bus::Value;

/// Of values in each other.
const DEPTH: usize = 16;

/// What is wrong with it, in words.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { rest: text.trim_start() };
    let value = parser.value(None, 0)?;
    if parser.rest.is_empty() { Ok(value) } else { Err(format!("{:?} is left over", parser.rest)) }
}

struct Parser<'a> {
    rest: &'a str,
}

/// Types that are told by a word.
const WORDS: [(&str, &str); 12] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

impl<'a> Parser<'a> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }

    fn take(&mut self, start: &str) -> bool {
        let found = self.rest.starts_with(start);
        if found {
            self.skip(start.len());
        }
        found
    }

    fn word(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        self.skip(end);
        word
    }

    fn value(&mut self, kind: Option<&str>, depth: usize) -> Result<Value, String> {
        if depth > DEPTH {
            return Err("too many values in each other".into());
        }
        match self.rest.chars().next() {
            Some('@') => {
                self.skip(1);
                let told = self.word(|c| c.is_ascii_alphabetic() || "(){}".contains(c));
                self.value(Some(told), depth + 1)
            }
            Some('\'' | '"') => self.text(kind),
            Some('[') => self.array(kind, depth),
            Some('(') => {
                let values = self.list(")", |parser| parser.value(None, depth + 1))?;
                Ok(Value::Struct(values))
            }
            Some('<') => {
                self.skip(1);
                let value = self.value(None, depth + 1)?;
                if self.take(">") { Ok(Value::Variant(Box::new(value))) } else { Err("a > is missing".into()) }
            }
            Some(c) if c.is_ascii_digit() || "+-.".contains(c) => self.number(kind),
            Some(c) if c.is_ascii_alphabetic() => {
                let word = self.word(|c| c.is_ascii_alphanumeric());
                match (word, WORDS.iter().find(|(name, _)| *name == word)) {
                    ("true" | "false", _) if kind.is_none_or(|kind| kind == "b") => Ok(Value::Bool(word == "true")),
                    (_, Some((_, told))) if kind.is_none() => self.value(Some(told), depth + 1),
                    _ => Err(format!("{word:?} is not expected")),
                }
            }
            Some(c) => Err(format!("{c:?} is not expected")),
            None => Err("a value is missing".into()),
        }
    }

    /// Of what stands between the bracket that is next and `close`.
    fn list(
        &mut self,
        close: &str,
        mut one: impl FnMut(&mut Self) -> Result<Value, String>,
    ) -> Result<Vec<Value>, String> {
        self.skip(1);
        let mut values = Vec::new();
        while !self.take(close) {
            if !values.is_empty() && !self.take(",") {
                return Err(format!("a {close} is missing"));
            }
            // After the comma of a tuple of one.
            if values.is_empty() || !self.rest.starts_with(close) {
                values.push(one(self)?);
            }
        }
        Ok(values)
    }

    fn array(&mut self, kind: Option<&str>, depth: usize) -> Result<Value, String> {
        let mut of = match kind {
            Some(kind) => Some(kind.strip_prefix('a').ok_or("a list is not expected")?.to_owned()),
            None => None,
        };
        let values = self.list("]", |parser| {
            let value = parser.value(of.as_deref(), depth + 1)?;
            let kind = of.get_or_insert_with(|| value.signature());
            if *kind == value.signature() { Ok(value) } else { Err("values of several types in a list".into()) }
        })?;
        of.map(|of| Value::Array(of, values)).ok_or_else(|| "an empty list needs its type: @as []".into())
    }

    fn text(&mut self, kind: Option<&str>) -> Result<Value, String> {
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map(|(_, c)| c);
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c @ ('\\' | '\'' | '"')) => text.push(c),
                    _ => return Err("a backslash stands before one of \\ ' \" n t".into()),
                },
                c if Some(c) == quote => {
                    self.skip(at + c.len_utf8());
                    return match kind {
                        None | Some("s") => Ok(Value::Text(text)),
                        Some("o") => Ok(Value::Path(text)),
                        Some("g") => Ok(Value::Signature(text)),
                        Some(_) => Err("a text is not expected".into()),
                    };
                }
                c => text.push(c),
            }
        }
        Err("a text has no end".into())
    }

    fn number(&mut self, kind: Option<&str>) -> Result<Value, String> {
        let word = self.word(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let is_hex = word.contains("0x");
        let kind = kind.unwrap_or(if !is_hex && word.contains(['.', 'e', 'E']) { "d" } else { "i" });
        let whole = || {
            let (sign, digits) = word.strip_prefix('-').map_or((1, word), |rest| (-1, rest));
            let digits = digits.trim_start_matches('+');
            let number = match digits.strip_prefix("0x") {
                Some(hex) => i128::from_str_radix(hex, 16).ok(),
                None => digits.parse::<i128>().ok(),
            };
            number.map(|number| sign * number)
        };
        let value = match kind {
            "y" => whole().and_then(|n| n.try_into().ok()).map(Value::Byte),
            "n" => whole().and_then(|n| n.try_into().ok()).map(Value::Int16),
            "q" => whole().and_then(|n| n.try_into().ok()).map(Value::Uint16),
            "i" => whole().and_then(|n| n.try_into().ok()).map(Value::Int32),
            "u" => whole().and_then(|n| n.try_into().ok()).map(Value::Uint32),
            "x" => whole().and_then(|n| n.try_into().ok()).map(Value::Int64),
            "t" => whole().and_then(|n| n.try_into().ok()).map(Value::Uint64),
            "d" => word.parse().ok().map(Value::Double),
            _ => None,
        };
        value.ok_or_else(|| format!("{word:?} is no value of the type {kind:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use spec::bus::Value;

    #[test]
    fn what_annotations_say() {
        let text = |text: &str| Value::text(text);
        for (written, value) in [
            ("uint64 123456789", Value::Uint64(123_456_789)),
            ("@t 5", Value::Uint64(5)),
            ("'inactive-or-failed'", text("inactive-or-failed")),
            (r#" "it's \"so\"" "#, text("it's \"so\"")),
            (r"'it\'s'", text("it's")),
            ("true", Value::Bool(true)),
            ("-7", Value::Int32(-7)),
            ("0xff", Value::Int32(255)),
            ("1.5", Value::Double(1.5)),
            ("byte 0x10", Value::Byte(16)),
            ("['a', 'b']", Value::Array("s".into(), vec![text("a"), text("b")])),
            ("@as []", Value::Array("s".into(), Vec::new())),
            ("[@u 1, 2]", Value::Array("u".into(), vec![Value::Uint32(1), Value::Uint32(2)])),
            ("@ay [1,2]", Value::bytes(&[1, 2])),
            ("('a', true)", Value::Struct(vec![text("a"), Value::Bool(true)])),
            ("<5>", Value::Variant(Box::new(Value::Int32(5)))),
        ] {
            assert_eq!(parse(written).as_ref(), Ok(&value), "{written}");
        }
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "",
            "'a",
            "[",
            "[]",
            "[1, 'a']",
            "(1",
            "uint64",
            "uint64 -1",
            "byte 256",
            "99999999999",
            "@s 5",
            "@u 'a'",
            "yes",
            "1 2",
            "<1",
            "@as 'a'",
            r"'\x'",
            "string true",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"(".repeat(1000)).is_err() && parse(&"@a".repeat(1000)).is_err());
    }
}
