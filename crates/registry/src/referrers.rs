//! What belongs to an image: signatures, bills of materials and the like, which name it as their subject.

use crate::client::Repository;
use crate::error::{Error, Kind, Result};
use crate::host::encoded;
use crate::tags::pages;
use spec::Digest;
use spec::image::{Descriptor, Index};

impl Repository {
    /// Manifests that have that one as their subject (distribution-spec, "Listing Referrers"), of one artifact type or of all.
    /// A registry that does not know the question keeps the list under a tag, if anybody has written it there.
    ///
    /// # Errors
    /// The registry does not answer, or sends something else.
    pub fn referrers(&self, subject: &Digest, kind: Option<&str>) -> Result<Vec<Descriptor>> {
        let what = || format!("cannot list what refers to {}@{subject}", self.full_name());
        let mut found = match self.asked(subject, kind) {
            Err(error) if error.kind == Kind::Missing => self.tagged(subject),
            found => found,
        }
        .map_err(|error| error.at(what()))?;
        // Whether the registry has left out the others is its choice.
        found.retain(|entry| kind.is_none_or(|kind| entry.artifact_type.as_deref() == Some(kind)));
        Ok(found)
    }

    fn asked(&self, subject: &Digest, kind: Option<&str>) -> Result<Vec<Descriptor>> {
        let filter = kind.map(|kind| format!("?artifactType={}", encoded(kind))).unwrap_or_default();
        let first = format!("/v2/{}/referrers/{subject}{filter}", self.name);
        let pages = pages(&self.host, first, &self.pull_scope(), "the registry does not list them")?;
        pages.iter().map(|page| index(page)).collect::<Result<Vec<_>>>().map(|all| all.concat())
    }

    /// "Referrers Tag Schema".
    fn tagged(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        match self.manifest(&format!("sha256-{}", subject.hex())) {
            Ok(fetched) => index(&fetched.bytes),
            Err(error) if error.kind == Kind::Missing => Ok(vec![]),
            Err(error) => Err(error),
        }
    }
}

fn index(bytes: &[u8]) -> Result<Vec<Descriptor>> {
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|error| Error::new(Kind::Corrupt, format!("the list that the registry sends: {error}")))?;
    Ok(index.manifests)
}

#[cfg(test)]
mod tests {
    use crate::host::encoded;

    #[test]
    fn a_type_in_a_question() {
        assert_eq!(encoded("application/vnd.x.v1+json"), "application/vnd.x.v1%2Bjson");
        assert_eq!(encoded("a&b=ä"), "a%26b%3D%C3%A4");
    }
}
