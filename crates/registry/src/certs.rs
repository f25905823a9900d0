//! Whom to believe, and who we are: the machine's certificate authorities and the host's directory below `certs.d`
//! (containers-certs.d(5)): `*.crt` are authorities, `NAME.cert` and `NAME.key` a client's pair.

use crate::error::{Error, Kind, Result};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

/// Where a host's directory may be; the first that is there counts.
pub fn directories(root: bool, env: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let users = (!root).then(|| env("HOME").map(|home| home.join(".config"))).flatten();
    let users = users.map(|config| [config.join("containers/certs.d"), config.join("docker/certs.d")]);
    let machines = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    users.into_iter().flatten().chain(machines).collect()
}

/// What a host's directory holds.
#[derive(Debug, Default)]
pub struct Own {
    pub authorities: Vec<CertificateDer<'static>>,
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Own {
    /// # Errors
    /// A file of it is not what its name says.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut own = Self::default();
        let Ok(entries) = std::fs::read_dir(directory) else { return Ok(own) };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let is = |path: &Path, kind: &str| path.extension().is_some_and(|extension| extension == kind);
        for path in &paths {
            if is(path, "crt") {
                own.authorities.extend(certificates(path)?);
            } else if is(path, "cert") {
                let key = path.with_extension("key");
                let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| unusable(&key, error))?;
                own.client = Some((certificates(path)?, private));
            } else if is(path, "key") && !path.with_extension("cert").exists() {
                return Err(unusable(path, "there is no certificate of that name with .cert beside it"));
            }
        }
        Ok(own)
    }

    /// Those of the directory and of the machine; Mozilla's, as this program was built with them, where the machine has
    /// none.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots.add_parsable_certificates(self.authorities.iter().cloned());
        roots
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(unusable(path, "there is no PEM certificate in it")),
        found => found.map_err(|error| unusable(path, error)),
    }
}

fn unusable(path: &Path, why: impl ToString) -> Error {
    Error::new(Kind::Configuration, why.to_string()).at(format!("cannot use the certificate {}", path.display()))
}
