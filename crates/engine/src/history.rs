//! How images came to be, and on which layers they stand.

use crate::error::Result;
use crate::images::{entry, seconds, which};
use crate::paths::Paths;
use image::{Store, Stored};
use spec::image::History;
use spec::{ChainId, Digest, Reference};

/// A step by which an image was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Of the image that the step led to: only the last one's is known.
    pub id: Option<String>,
    /// Seconds since the epoch; `None` where the image does not say.
    pub created: Option<u64>,
    pub by: String,
    pub comment: String,
    /// Of its layer as stored, in bytes.
    pub size: u64,
}

/// The steps of an image, the last first.
///
/// # Errors
/// No such image.
pub fn history(paths: &Paths, word: &str) -> Result<Vec<Made>> {
    let store = Store::open(&paths.data);
    let (entry, id) = entry(paths, word)?;
    let stored = store.stored(&entry)?;
    let mut steps = steps(&stored);
    steps.reverse();
    if let Some(last) = steps.first_mut() {
        last.id = Some(id.to_string());
    }
    Ok(steps)
}

/// In their order. The history is optional (image-spec, config.md), so layers that it does not count follow without one.
fn steps(stored: &Stored) -> Vec<Made> {
    let mut sizes = sizes(stored).into_iter();
    let mut step = |history: &History| Made {
        id: None,
        created: history.created.as_deref().and_then(seconds),
        by: history.created_by.clone(),
        comment: history.comment.clone(),
        size: if history.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
    };
    let mut steps: Vec<Made> = stored.config.history.iter().map(&mut step).collect();
    let left = sizes.map(|size| Made { id: None, created: None, by: String::new(), comment: String::new(), size });
    steps.extend(left);
    steps
}

fn sizes(stored: &Stored) -> Vec<u64> {
    stored.manifest().map_or_else(Vec::new, |(_, _, manifest)| manifest.layers.iter().map(|layer| layer.size).collect())
}

/// A layer, and the images of which it is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Its chain's.
    pub id: String,
    /// As stored, in bytes.
    pub size: u64,
    pub tops: Vec<Reference>,
    /// What stands on it, where that was asked for.
    pub above: Vec<Level>,
}

/// An image and its layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub id: String,
    pub names: Vec<Reference>,
    /// Of all its layers as stored, in bytes.
    pub size: u64,
    pub levels: Vec<Level>,
}

/// The layers of an image, the last first; with `children` what stands on its last layer, instead.
///
/// # Errors
/// No such image.
pub fn tree(paths: &Paths, word: &str, children: bool) -> Result<Tree> {
    let store = Store::open(&paths.data);
    let (entry, id) = entry(paths, word)?;
    let own = store.stored(&entry)?;
    let mut all = Vec::new();
    for listed in store.list()? {
        let Some(name) = which::name(&listed.entry) else { continue };
        all.push((name, listed.id, Chain::of(&store.stored(&listed.entry)?)));
    }
    let chain = Chain::of(&own);
    let names = all.iter().filter(|(_, other, _)| *other == id).map(|(name, ..)| name.clone()).collect();
    let chains: Vec<(Reference, Chain)> = all.into_iter().map(|(name, _, chain)| (name, chain)).collect();
    let levels = match chain.ids.last() {
        Some(last) if children => vec![above(*last, chain.sizes.last().copied().unwrap_or(0), &chains)],
        _ => chain.ids.iter().zip(&chain.sizes).rev().map(|(id, size)| level(*id, *size, &chains)).collect(),
    };
    Ok(Tree { id: id.to_string(), names, size: chain.sizes.iter().sum(), levels })
}

/// Of an image, bottom first.
struct Chain {
    ids: Vec<ChainId>,
    sizes: Vec<u64>,
}

impl Chain {
    fn of(stored: &Stored) -> Self {
        Self { ids: ChainId::chain(&stored.config.rootfs.diff_ids), sizes: sizes(stored) }
    }
}

fn level(id: ChainId, size: u64, chains: &[(Reference, Chain)]) -> Level {
    let tops = chains.iter().filter(|(_, chain)| chain.ids.last() == Some(&id)).map(|(name, _)| name.clone());
    Level { id: Digest::to_string(&id.0), size, tops: tops.collect(), above: Vec::new() }
}

fn above(id: ChainId, size: u64, chains: &[(Reference, Chain)]) -> Level {
    let mut next: Vec<(ChainId, u64)> = Vec::new();
    for (_, chain) in chains {
        let at = chain.ids.iter().position(|other| *other == id).map(|at| at + 1);
        let child = at.and_then(|at| Some((*chain.ids.get(at)?, *chain.sizes.get(at)?)));
        next.extend(child.filter(|(child, _)| !next.iter().any(|(known, _)| known == child)));
    }
    let above = next.into_iter().map(|(id, size)| above(id, size, chains)).collect();
    Level { above, ..level(id, size, chains) }
}
