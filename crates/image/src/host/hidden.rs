//! Which of the host's paths the veil hides.

use super::mounts::Mounts;
use super::{Guest, is_fresh};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Other engines' stores and secrets of services, whatever their modes.
const STORES: [&str; 13] = [
    "/var/lib/docker",
    "/var/lib/containers",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/lib/rancher",
    "/var/lib/etcd",
    "/var/lib/lxc",
    "/var/lib/lxd",
    "/var/lib/incus",
    "/var/lib/libvirt",
    "/var/lib/machines",
    "/var/lib/private",
    "/var/lib/systemd/coredump",
];

/// Of the home that the guest does see.
const CREDENTIALS: [&str; 73] = [
    // Keys and passwords.
    ".ssh",
    ".gnupg",
    ".pki",
    ".password-store",
    ".netrc",
    "_netrc",
    ".authinfo",
    ".authinfo.gpg",
    ".pgpass",
    ".my.cnf",
    ".mylogin.cnf",
    ".vault-token",
    ".git-credentials",
    ".config/git/credentials",
    ".config/sops",
    ".config/age",
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".gnome2/keyrings",
    ".config/op",
    ".config/Bitwarden",
    ".config/Bitwarden CLI",
    ".config/keepassxc",
    ".krb5",
    ".rhosts",
    ".smbcredentials",
    // Clouds and clusters.
    ".aws",
    ".azure",
    ".boto",
    ".s3cfg",
    ".kube",
    ".minikube",
    ".oci",
    ".fly",
    ".terraform.d",
    ".terraformrc",
    ".config/gcloud",
    ".config/doctl",
    ".config/hcloud",
    ".config/rclone",
    ".config/helm",
    ".databrickscfg",
    // Engines, registries, forges and packages.
    ".docker",
    ".config/containers/auth.json",
    ".local/share/containers",
    ".local/share/docker",
    ".config/gh",
    ".config/glab-cli",
    ".config/hub",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".gem/credentials",
    ".m2/settings.xml",
    ".m2/settings-security.xml",
    ".gradle/gradle.properties",
    ".composer/auth.json",
    // Browsers and mail: cookies are credentials.
    ".mozilla",
    ".thunderbird",
    ".config/google-chrome",
    ".config/chromium",
    ".config/BraveSoftware",
    ".config/microsoft-edge",
    ".config/Signal",
    ".config/Slack",
    ".config/discord",
    // Sessions and what was typed.
    ".Xauthority",
    ".ICEauthority",
    ".lesshst",
    ".viminfo",
    ".local/share/fish/fish_history",
];

/// In /etc, whatever their modes say.
const SECRETS: [&str; 4] = ["/etc/ssl/private", "/etc/pki/tls/private", "/etc/krb5.keytab", "/etc/security/opasswd"];

/// How deep the search for directories closed to others goes: that far down packages keep such (`/var/lib/x/y`).
const DEPTH: usize = 3;
/// And where the kernel's fence is missing, because the root is itself an overlay.
const DEPTH_WITHOUT_FENCE: usize = 12;

/// Absolute paths with links resolved (but for the last name), none beneath another.
pub fn list(guest: &Guest<'_>, home: Option<&Path>, mounts: &Mounts, unfenced: bool) -> BTreeSet<PathBuf> {
    let mut hidden = Hidden { paths: BTreeSet::new(), mounts, files: unfenced };
    for path in STORES.iter().chain(&SECRETS) {
        hidden.add(Path::new(path));
    }
    guest.own.iter().for_each(|path| hidden.add(path));
    hidden.homes(home);
    if let Some(home) = home {
        hidden.credentials(home);
    }
    hidden.secrets(Path::new("/etc"));
    let depth = if unfenced { DEPTH_WITHOUT_FENCE } else { DEPTH };
    for (dir, depth) in [("/", 1), ("/var", depth), ("/srv", depth), ("/opt", depth), ("/usr/local", depth)] {
        hidden.closed(Path::new(dir), depth, home);
    }
    let paths = hidden.paths;
    paths.iter().filter(|path| !path.ancestors().skip(1).any(|up| paths.contains(up))).cloned().collect()
}

struct Hidden<'a> {
    paths: BTreeSet<PathBuf>,
    mounts: &'a Mounts,
    /// Whether the veil is the only fence, so that single files count too.
    files: bool,
}

impl Hidden<'_> {
    /// The path, and where it is a link also what it leads to. A link on the way is resolved: a whiteout needs real
    /// directories above it.
    fn add(&mut self, path: &Path) {
        let Ok(meta) = path.symlink_metadata() else { return };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
        let Ok(parent) = parent.canonicalize() else { return };
        if meta.is_symlink() {
            let target = path.canonicalize().ok();
            // Not a link to a whole top-level directory: that would be a broken system, not a hidden secret.
            self.paths.extend(target.filter(|target| target.components().count() > 2 && !is_fresh(target)));
        }
        let path = parent.join(name);
        if !is_fresh(&path) {
            self.paths.insert(path);
        }
    }

    /// All but the guest's own.
    fn homes(&mut self, own: Option<&Path>) {
        let foreign = |path: &Path| own.is_none_or(|own| !own.starts_with(path) && !path.starts_with(own));
        let mut homes: Vec<PathBuf> = entries(Path::new("/home")).map(|entry| entry.path()).collect();
        homes.push("/root".into());
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        homes.extend(passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let person = fields.get(2)?.parse().is_ok_and(|uid: u32| (1000..60000).contains(&uid));
            let home = Path::new(fields.get(5)?);
            // A home such as / or /srv is not one person's.
            (person && home.components().count() > 2).then(|| home.to_owned())
        }));
        for home in homes {
            if foreign(&home.canonicalize().unwrap_or_else(|_| home.clone())) {
                self.add(&home);
            }
        }
    }

    fn credentials(&mut self, home: &Path) {
        for name in CREDENTIALS {
            self.add(&home.join(name));
        }
        for entry in entries(home) {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') && (name.ends_with("history") || name.ends_with("_hist")) {
                self.add(&entry.path());
            }
        }
    }

    /// All of `dir` that others may not read, and private keys by their names.
    fn secrets(&mut self, dir: &Path) {
        for entry in entries(dir) {
            // The entry itself says that it is a link; half of /etc is links, and a stat each would be half of the time.
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            let wanted = if meta.is_dir() { 0o005 } else { 0o004 };
            if meta.mode() & wanted != wanted || is_key(&entry.file_name()) {
                self.paths.insert(entry.path());
            } else if meta.is_dir() && !self.mounts.is_point(&entry.path()) {
                self.secrets(&entry.path());
            }
        }
    }

    /// Directories (and files, where nothing else fences them) that others may not read, down to `depth`.
    fn closed(&mut self, dir: &Path, depth: usize, own: Option<&Path>) {
        for entry in entries(dir) {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            let skip = is_fresh(&path) || self.paths.contains(&path) || own.is_some_and(|own| own.starts_with(&path));
            if skip || kind.is_symlink() || !(kind.is_dir() || self.files) {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            let wanted = if meta.is_dir() { 0o005 } else { 0o004 };
            if meta.mode() & wanted != wanted {
                self.paths.insert(path);
            } else if meta.is_dir() && depth > 1 && !self.mounts.is_point(&path) {
                self.closed(&path, depth - 1, own);
            }
        }
    }
}

fn is_key(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let shadow = ["shadow", "gshadow"].iter().any(|stem| name.starts_with(stem));
    shadow || (name.starts_with("ssh_host_") && !name.ends_with(".pub")) || name.ends_with(".keytab")
}

/// A directory that cannot be read has nothing to hide that the kernel does not hide.
fn entries(dir: &Path) -> impl Iterator<Item = DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}
