//! Truth values.

use super::Invalid;

/// As Go's `strconv.ParseBool`, which docker's flags and options use.
///
/// # Errors
/// [`Invalid`] for any other word.
pub fn boolean(text: &str) -> Result<bool, Invalid> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Invalid::new(format!("{text:?} is neither true nor false")).hint("write true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::boolean;

    #[test]
    fn reads_gos_words() {
        assert_eq!((boolean("T"), boolean("0")), (Ok(true), Ok(false)));
        for text in ["", "yes", "tRUE", "2"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }
}
