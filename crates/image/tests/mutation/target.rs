//! What strangers hand us: each function takes bytes and comes back, whatever they are, with whether they are accepted.
//!
//! Invariant: nothing but the directory that it was given is touched. Used by the mutations beside it and by the targets
//! of `fuzz/`.

use image::archive::{Input, load as load_images};
use image::limit::Limit;
use image::unpack::{Rights, unpack as unpack_layer};
use image::{Store, Wanted};
use spec::Reference;
use spec::image::{ImageConfig, Index, Manifest, Platform};
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A directory, and a file beside it that must stay as it is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sampan-mutation-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("root")).unwrap();
        fs::write(path.join("secret"), "secret").unwrap();
        Self(path)
    }

    fn check(&self) {
        assert_eq!(fs::read(self.0.join("secret")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(&self.0).unwrap().count(), 2, "something lies beside the root");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = sys::tree::remove_path(&self.0);
    }
}

/// A layer's tar.
pub fn unpack(data: &[u8]) -> bool {
    let scratch = Scratch::new();
    let root = fs::File::open(scratch.0.join("root")).unwrap();
    let result = unpack_layer(root.as_fd(), data, Rights::current(), Limit(1 << 24));
    scratch.check();
    result.is_ok()
}

/// An archive of images, packed or not.
pub fn load(data: &[u8]) -> bool {
    let scratch = Scratch::new();
    let store = Store::open(scratch.0.join("root"));
    let name: Reference = "fuzz".parse().unwrap();
    let mut stream = data;
    let result = load_images(&store, Input::Stream(&mut stream), Some(&name));
    scratch.check();
    assert_eq!(fs::read_dir(store.root().join("tmp")).map_or(0, Iterator::count), 0);
    result.is_ok()
}

/// A manifest, an index or a configuration.
pub fn document(data: &[u8]) -> bool {
    let manifest = reads_back::<Manifest>(data);
    let config = reads_back::<ImageConfig>(data);
    if let Some(manifest) = &manifest {
        let config = config.clone().unwrap_or_default();
        let _ = Wanted::all(&manifest.layers, &config);
    }
    let index = reads_back::<Index>(data);
    if let Some(index) = &index {
        let _ = Platform::native().pick(&index.manifests);
    }
    manifest.is_some() || config.is_some() || index.is_some()
}

fn reads_back<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(
    data: &[u8],
) -> Option<T> {
    let value: T = serde_json::from_slice(data).ok()?;
    let text = serde_json::to_vec(&value).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&text).unwrap(), value);
    Some(value)
}

/// An image's name.
pub fn reference(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(name) = text.parse::<Reference>() else { return false };
    assert_eq!(name.to_string().parse::<Reference>().as_ref(), Ok(&name));
    assert_eq!(name.familiar().parse::<Reference>().as_ref(), Ok(&name));
    assert!(!name.repository().split('/').any(|part| matches!(part, "" | "." | "..")), "{text:?}");
    true
}
