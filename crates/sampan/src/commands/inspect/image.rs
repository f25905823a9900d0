//! docker's document of an image.

use super::there;
use engine::images::Inspected;
use serde_json::{Value, json};
use spec::image::{Execution, History};

pub fn document(image: &Inspected) -> Value {
    let config = &image.config;
    let tags: Vec<String> =
        image.names.iter().filter(|name| name.digest().is_none()).map(spec::Reference::familiar).collect();
    let digest = image.entry.digest.to_string();
    let mut digests: Vec<String> = image.names.iter().map(|name| repository(&name.familiar(), &digest)).collect();
    digests.sort();
    digests.dedup();
    let labels = there(&config.config.labels, config.config.labels.is_empty());
    let kind = image.manifest.media_type.as_deref().unwrap_or(&image.entry.media_type);
    let history: Vec<Value> = config.history.iter().map(step).collect();
    json!({
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": config.history.last().map_or("", |last| last.comment.as_str()),
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author.clone().unwrap_or_default(),
        "Architecture": config.platform.architecture,
        "Variant": config.platform.variant,
        "Os": config.platform.os,
        "Size": image.size,
        "GraphDriver": driver(image),
        "Config": execution(&config.config),
        "RootFS": { "Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids },
        // No time is kept of when a name was given, and this is Go's word for none.
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
        "Descriptor": { "mediaType": image.entry.media_type, "digest": digest, "size": image.entry.size },
        // From here on podman's.
        "Digest": digest,
        "VirtualSize": image.size,
        "Labels": labels,
        "Annotations": image.manifest.annotations,
        "ManifestType": kind,
        "User": config.config.user,
        "History": history,
        "NamesHistory": tags,
    })
}

/// Where its files are, by docker's keys.
fn driver(image: &Inspected) -> Value {
    let texts: Vec<String> = image.layers.iter().map(|layer| layer.display().to_string()).collect();
    let mut data = serde_json::Map::new();
    if let Some((top, below)) = texts.split_first() {
        data.insert("UpperDir".to_owned(), json!(top));
        if !below.is_empty() {
            data.insert("LowerDir".to_owned(), json!(below.join(":")));
        }
    }
    json!({ "Name": "overlay", "Data": data })
}

fn step(history: &History) -> Value {
    let mut step = json!({ "created": history.created, "created_by": history.created_by });
    if !history.comment.is_empty() {
        step["comment"] = json!(history.comment);
    }
    if history.empty_layer {
        step["empty_layer"] = json!(true);
    }
    step
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
        "Shell": there(&config.shell, config.shell.is_empty()),
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
