//! The verb that copies files.

use super::Verb;
use super::list::container;
use super::run::request::value;
use super::tree::Leaf;
use crate::ui::Failure;
use clap::Args;
use engine::containers::Which;
use engine::copy::{Copy, End};

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Cp {
    /// Files keep their owners
    #[arg(long, short)]
    pub archive: bool,
    /// Of a source that is a link, what it leads to
    #[arg(long, short = 'L')]
    pub follow_link: bool,
    /// Do not say how much was copied
    #[arg(long, short)]
    pub quiet: bool,
    /// CONTAINER:PATH, a path of this machine, or - for a tar at the standard input
    #[arg(value_name = "SOURCE")]
    pub from: String,
    /// CONTAINER:PATH, a path of this machine, or - for a tar at the standard output
    #[arg(value_name = "DESTINATION")]
    pub to: String,
}

impl Leaf for Cp {
    const NAMES: &[&str] = &["cp", "container cp"];
    const ABOUT: &str = "Copy files into a container or out of it";
    const USAGE: &str = "sampan cp [OPTIONS] CONTAINER:PATH PATH|-\n       sampan cp [OPTIONS] PATH|- CONTAINER:PATH";

    fn verb(self) -> Result<Verb, Failure> {
        let Self { archive, follow_link: follow, quiet, from, to } = self;
        Ok(Verb::Cp(Copy { from: end(&from)?, to: end(&to)?, archive, follow }, quiet, to))
    }
}

/// As docker: what begins as a path is one, even with a colon in it.
fn end(text: &str) -> Result<End, Failure> {
    if text == "-" {
        return Ok(End::Stream);
    }
    match text.split_once(':') {
        Some((name, path)) if !text.starts_with(['/', '.']) => {
            let name = value("CONTAINER", name, container)?;
            Ok(End::Container(Which::Named(name.to_string()), if path.is_empty() { "/".into() } else { path.into() }))
        }
        _ => {
            let what = || format!("cannot find the working directory for {text}");
            let here = std::env::current_dir().map_err(|error| Failure::from(engine::refused(what(), &error)))?;
            // Not joined by std, which would leave the end out that says what is meant.
            let path = if text.starts_with('/') { text.to_owned() } else { format!("{}/{text}", here.display()) };
            if text.is_empty() { Err(Failure::new("an empty path")) } else { Ok(End::Host(path)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, end};
    use engine::containers::Which;

    #[test]
    fn paths_and_containers() {
        let inside = |name: &str, path: &str| End::Container(Which::Named(name.to_owned()), path.to_owned());
        assert_eq!(end("c:/a/b").unwrap(), inside("c", "/a/b"));
        assert_eq!(end("c:a:b/").unwrap(), inside("c", "a:b/"));
        assert_eq!(end("c:").unwrap(), inside("c", "/"));
        assert_eq!(end("-").unwrap(), End::Stream);
        assert_eq!(end("/a:b/.").unwrap(), End::Host("/a:b/.".into()));
        assert!(matches!(end("./a:b").unwrap(), End::Host(path) if path.ends_with("/./a:b")));
        assert!(end("").is_err() && end("a b:/c").is_err());
    }
}
