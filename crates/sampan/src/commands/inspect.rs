//! `sampan image inspect`, with docker's names.

use crate::cli::{Globals, ImageInspect};
use crate::ui::{self, Failure};
use engine::images::Inspected;
use serde_json::{Value, json};

/// # Errors
/// [`Failure`] for the first image that is not there.
pub fn run(arguments: &ImageInspect, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let inspect = |word: &String| engine::images::inspect(&paths, word).map(|image| object(&image));
    let images = arguments.images.iter().map(inspect).collect::<Result<Vec<_>, _>>()?;
    // What comes out of a configuration is a stranger's; JSON escapes what a terminal would obey.
    ui::print(&format!("{:#}\n", Value::Array(images)))
}

fn object(image: &Inspected) -> Value {
    let config = &image.config;
    let tags: Vec<String> =
        image.names.iter().filter(|name| name.digest().is_none()).map(spec::Reference::familiar).collect();
    let mut digests: Vec<String> = image.names.iter().map(|name| repository(&name.familiar(), &image.digest)).collect();
    digests.sort();
    digests.dedup();
    json!({
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Comment": config.history.last().map_or("", |last| last.comment.as_str()),
        "Created": config.created,
        "Author": config.author.clone().unwrap_or_default(),
        "Architecture": config.platform.architecture,
        "Variant": config.platform.variant,
        "Os": config.platform.os,
        "Size": image.size,
        "Config": config.config,
        "RootFS": { "Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids },
    })
}

/// `repository@digest`.
fn repository(familiar: &str, digest: &str) -> String {
    let name = familiar.split('@').next().unwrap_or_default();
    let bare = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(bare, _)| bare);
    format!("{bare}@{digest}")
}
