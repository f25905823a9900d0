//! One record: a piece of one stream, at a time. A line of the file each, in one of two forms.
//!
//! The k8s form is `TIME STREAM F|P BYTES`, as the container runtime interface has it: P for a piece that the line goes
//! on after. docker's is JSON, which can hold text only: what is none goes into `bytes`, a character for each, and
//! `log` has what docker would make of it.

use super::Stream;
use crate::time::{Moment, WIDTH};
use serde::Deserialize;
use std::borrow::Cow;
use std::io::Write;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    K8s,
    /// With the members that each record has besides, in JSON: empty, or `"attrs":{…},`.
    Json {
        attributes: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub time: Moment,
    pub stream: Stream,
    /// Its newline, if the line is complete, is not in here.
    pub text: &'a [u8],
    pub complete: bool,
}

impl Form {
    /// Whether a record must not end within a character.
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Json { .. })
    }

    /// Appends it, its own newline included.
    pub fn encode(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let time = record.time.text();
        match self {
            Self::K8s => {
                out.extend_from_slice(&time);
                out.push(b' ');
                out.extend_from_slice(record.stream.name().as_bytes());
                out.extend_from_slice(if record.complete { b" F " } else { b" P " });
                out.extend_from_slice(record.text);
                out.push(b'\n');
            }
            Self::Json { attributes } => {
                let newline: &[u8] = if record.complete { b"\\n" } else { b"" };
                let text = std::str::from_utf8(record.text)
                    .map_or_else(|_| String::from_utf8_lossy(record.text), Cow::Borrowed);
                out.extend_from_slice(b"{\"log\":\"");
                text.chars().for_each(|c| escape(c, out));
                out.extend_from_slice(newline);
                if let Cow::Owned(_) = text {
                    out.extend_from_slice(b"\",\"bytes\":\"");
                    record.text.iter().for_each(|byte| escape(char::from(*byte), out));
                    out.extend_from_slice(newline);
                }
                out.extend_from_slice(b"\",\"stream\":\"");
                out.extend_from_slice(record.stream.name().as_bytes());
                out.extend_from_slice(b"\",");
                out.extend_from_slice(attributes.as_bytes());
                out.extend_from_slice(b"\"time\":\"");
                out.extend_from_slice(&time);
                out.extend_from_slice(b"\"}\n");
            }
        }
    }
}

/// A character in a JSON string. What a browser would obey is escaped, as Go does it.
fn escape(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\u{0}'..='\u{1f}' | '<' | '>' | '&' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
            // A vector takes all that is written to it.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// What a reader gets: the newline of a complete line is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    pub time: Moment,
    pub stream: Stream,
    pub text: Cow<'a, [u8]>,
    pub complete: bool,
}

/// How a line of a file is read.
pub type Decode = for<'a> fn(&'a [u8]) -> Option<Decoded<'a>>;

/// A line of a file, with or without its newline; `None`: it is in neither form, torn by a crash of the machine.
pub fn decode(line: &[u8]) -> Option<Decoded<'_>> {
    if line.first() == Some(&b'{') { decode_json(line) } else { decode_k8s(line) }
}

fn decode_k8s(line: &[u8]) -> Option<Decoded<'_>> {
    let body = line.strip_suffix(b"\n")?;
    // Another writer's time may be shorter, or have its zone in figures.
    let end = if body.get(WIDTH) == Some(&b' ') { WIDTH } else { body.iter().position(|byte| *byte == b' ')? };
    let time = Moment::read(&body[..end])?;
    let (stream, rest) = match &body[end + 1..] {
        [b's', b't', b'd', b'o', b'u', b't', b' ', rest @ ..] => (Stream::Stdout, rest),
        [b's', b't', b'd', b'e', b'r', b'r', b' ', rest @ ..] => (Stream::Stderr, rest),
        _ => return None,
    };
    let complete = match rest {
        [b'F', b' ', ..] => true,
        [b'P', b' ', ..] => false,
        _ => return None,
    };
    // The record's newline is the line's own where it is complete.
    let start = line.len() - 1 - (rest.len() - 2);
    let end = if complete { line.len() } else { line.len() - 1 };
    Some(Decoded { time, stream, text: Cow::Borrowed(&line[start..end]), complete })
}

#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    bytes: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

fn decode_json(line: &[u8]) -> Option<Decoded<'_>> {
    let json: Json<'_> = serde_json::from_slice(line).ok()?;
    let stream = Stream::BOTH.into_iter().find(|stream| stream.name() == json.stream)?;
    let text = match (json.bytes, json.log) {
        (Some(bytes), _) => Cow::Owned(bytes.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>()?),
        (None, Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        (None, Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
    };
    let complete = text.last() == Some(&b'\n');
    Some(Decoded { time: Moment::read(json.time.as_bytes())?, stream, text, complete })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &[u8], complete: bool) -> Record<'_> {
        Record { time: Moment(1_709_251_199_999_999_999), stream: Stream::Stderr, text, complete }
    }

    fn json() -> Form {
        Form::Json { attributes: "\"attrs\":{\"a\":\"b\"},".to_owned() }
    }

    #[test]
    fn looks_as_others_write_it() {
        let encoded = |form: &Form, text: &[u8], complete| {
            let mut out = Vec::new();
            form.encode(&record(text, complete), &mut out);
            String::from_utf8(out).unwrap()
        };
        let time = "2024-02-29T23:59:59.999999999Z";
        assert_eq!(encoded(&Form::K8s, b"a b", true), format!("{time} stderr F a b\n"));
        assert_eq!(encoded(&Form::K8s, b"", false), format!("{time} stderr P \n"));
        let tail = format!("\"stream\":\"stderr\",\"attrs\":{{\"a\":\"b\"}},\"time\":\"{time}\"}}\n");
        assert_eq!(
            encoded(&json(), b"a\"\\\x1b<\t", true),
            format!("{{\"log\":\"a\\\"\\\\\\u001b\\u003c\\t\\n\",{tail}")
        );
        assert_eq!(encoded(&json(), b"a\xff", false), format!("{{\"log\":\"a\u{fffd}\",\"bytes\":\"aÿ\",{tail}"));
    }

    #[test]
    fn any_bytes_come_back() {
        let all: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
        for form in [Form::K8s, json()] {
            for text in [&b""[..], b"plain", b"\0", "ä€😀".as_bytes(), b"\xe2\x82", &all] {
                for complete in [true, false] {
                    let mut out = Vec::new();
                    form.encode(&record(text, complete), &mut out);
                    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
                    let decoded = decode(&out).unwrap();
                    let whole = [text, if complete { b"\n" } else { b"" }].concat();
                    assert_eq!((decoded.text.as_ref(), decoded.complete), (&*whole, complete), "{form:?}");
                    assert_eq!((decoded.time, decoded.stream), (record(text, true).time, Stream::Stderr));
                }
            }
        }
    }

    #[test]
    fn what_others_wrote_is_read_and_what_is_torn_is_not() {
        let line = decode(b"2016-10-06T00:17:09.669794202+02:00 stdout P log\n").unwrap();
        assert_eq!((line.time, &*line.text), (Moment(1_475_705_829_669_794_202), &b"log"[..]));
        let line = decode(b"{\"time\":\"2016-10-06T00:17:09.5Z\",\"stream\":\"stdout\",\"log\":\"a\\n\"}\n").unwrap();
        assert_eq!((line.complete, &*line.text), (true, &b"a\n"[..]));
        for torn in [
            &b"2016-10-06T00:17:09.669794202Z stdout F a"[..],
            b"2016-10-06T00:17:09.669794202Z stdout\n",
            b"2016-10-06T00:17:09.669794202Z stdlog F a\n",
            b"2016-10-06T00:17:09.669794202Z stdout X a\n",
            b"stdout F a\n",
            b"\n",
            b"{\"log\":\"a\n",
            b"{\"log\":\"a\",\"bytes\":\"\xe2\x82\xac\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09Z\"}\n",
        ] {
            assert_eq!(decode(torn), None, "{}", torn.escape_ascii());
        }
    }
}
