//! Small grammars that several flags share.

use super::Invalid;

/// A path inside the container: absolute, not the root itself, no `..`; without doubled or trailing slashes or `.`.
pub fn target(text: &str) -> Result<String, Invalid> {
    let path = absolute(text)?;
    if path == "/" {
        return Err(Invalid::new("the container's / cannot be mounted over").hint("name a directory below it"));
    }
    Ok(path)
}

/// The same, where the root is allowed.
pub(super) fn absolute(text: &str) -> Result<String, Invalid> {
    if !text.starts_with('/') {
        return Err(Invalid::new(format!("the container path {text:?} is not absolute")).hint(format!("/{text}")));
    }
    let mut path = String::with_capacity(text.len());
    for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return Err(Invalid::new(format!("the container path {text:?} has a ..")).hint("write the path out"));
        }
        path.push('/');
        path.push_str(part);
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// Decimal digits only: `parse` alone also takes a plus sign.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_paths_are_clean() {
        assert_eq!(target("/a//b/./c/").as_deref(), Ok("/a/b/c"));
        assert_eq!(absolute("/").as_deref(), Ok("/"));
        assert_eq!(target("//").unwrap_err().why, "the container's / cannot be mounted over");
        assert_eq!(target("a").unwrap_err().hint.as_deref(), Some("/a"));
        assert_eq!(target("/a/../b").unwrap_err().why, "the container path \"/a/../b\" has a ..");
    }
}
