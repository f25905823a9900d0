//! One record of comma-separated values as Go's `encoding/csv` reads it, which is how `--mount` is written: a field in
//! double quotes may hold commas, and a doubled quote stands for one.

use super::Invalid;

pub(super) fn fields(text: &str) -> Result<Vec<String>, Invalid> {
    let how = "put the whole field in quotes: type=bind,\"src=/a,b\",dst=/c";
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find(',').unwrap_or(rest.len());
            if rest[..end].contains('"') {
                return Err(Invalid::new("a quote in the middle of a field").hint(how));
            }
            fields.push(rest[..end].to_owned());
            match rest.get(end + 1..) {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, after) = unquote(quoted).ok_or_else(|| Invalid::new("a quote that is not closed").hint(how))?;
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err(Invalid::new("text after a closing quote").hint(how)),
        }
    }
}

/// The field up to its closing quote, and what follows that quote.
fn unquote(mut rest: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    loop {
        let end = rest.find('"')?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => rest = after,
            None => return Some((field, rest)),
        }
        field.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn splits() {
        assert_eq!(fields("a,b=c,").unwrap(), ["a", "b=c", ""]);
        assert_eq!(fields(r#""a,b","c""d",e"#).unwrap(), ["a,b", "c\"d", "e"]);
        assert_eq!(fields("").unwrap(), [""]);
        for (text, why) in [
            (r#"a"b"#, "a quote in the middle of a field"),
            (r#""a"#, "a quote that is not closed"),
            (r#""a"b"#, "text after a closing quote"),
        ] {
            assert_eq!(fields(text).unwrap_err().why, why);
        }
    }
}
