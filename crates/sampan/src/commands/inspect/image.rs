//! docker's document of an image.

use super::there;
use engine::images::Inspected;
use serde_json::{Value, json};
use spec::image::Execution;

pub fn document(image: &Inspected) -> Value {
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
        "Config": execution(&config.config),
        "RootFS": { "Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids },
    })
}

/// All of docker's keys, so that a template finds them in any image.
fn execution(config: &Execution) -> Value {
    let mut object = json!({
        "User": config.user,
        "ExposedPorts": there(&config.exposed_ports, config.exposed_ports.is_empty()),
        "Env": there(&config.env, config.env.is_empty()),
        "Entrypoint": there(&config.entrypoint, config.entrypoint.is_empty()),
        "Cmd": there(&config.cmd, config.cmd.is_empty()),
        "Volumes": there(&config.volumes, config.volumes.is_empty()),
        "WorkingDir": config.working_dir,
        "Labels": there(&config.labels, config.labels.is_empty()),
        "StopSignal": config.stop_signal,
        "OnBuild": there(&config.on_build, config.on_build.is_empty()),
    });
    // docker leaves it out where there is none.
    if let Some(check) = &config.healthcheck {
        object["Healthcheck"] = check.clone();
    }
    object
}

/// `repository@digest`.
fn repository(familiar: &str, digest: &str) -> String {
    let name = familiar.split('@').next().unwrap_or_default();
    let bare = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(bare, _)| bare);
    format!("{bare}@{digest}")
}
