//! The whole plan as a shell script that a person could type: what `--explain` prints.

use crate::step::{Spawn, namespace_word};
use spec::runtime::NamespaceKind;

/// The clone as unshare(1) does it.
#[must_use]
pub fn spawn(spawn: &Spawn) -> String {
    let mut words = vec!["unshare".to_owned()];
    words.extend(spawn.namespaces.iter().map(|kind| format!("--{}", namespace_word(*kind))));
    if spawn.namespaces.contains(&NamespaceKind::Pid) {
        words.push("--fork".to_owned());
    }
    if spawn.die_with_parent {
        words.push("--kill-child".to_owned());
    }
    words.join(" ")
}
