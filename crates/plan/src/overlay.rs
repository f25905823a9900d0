//! How overlayfs is told its layers.
//!
//! fsconfig(2) takes 255 bytes at a time. Since Linux 6.8 overlayfs takes layer by layer; before that a longer list has
//! to go through mount(2), whose options are one page, with names that are relative to a working directory.

use crate::Rejected;
use crate::host::Host;
use crate::mounts::Ids;
use crate::shell::quote;
use crate::step::{At, HostStep, Upper, inside};

/// Without the byte that ends the string.
const STRING: usize = 255;
const PAGE: usize = 4095;
/// The kernel's OVL_MAX_STACK.
const MOST: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// All in one string.
    Together,
    /// One by one.
    Each,
    /// With mount(2), in this working directory.
    Page { from: String },
}

/// # Errors
/// A list that is too long for this kernel.
pub fn tell(host: &Host, lower: &[String], upper: Option<&Upper>, at: &At) -> Result<Told, Rejected> {
    if lower.len() > MOST {
        let why = format!("overlayfs takes {MOST} at most");
        return Err(Rejected::new(format!("cannot stack {} layers", lower.len()), why)
            .hint("make one of them: sampan create, sampan export, sampan import"));
    }
    let fits = |path: &String| path.len() <= STRING;
    if upper.is_none_or(|upper| fits(&upper.upper) && fits(&upper.work)) {
        if fits(&join(lower)) {
            return Ok(Told::Together);
        }
        if host.kernel >= (6, 8) && lower.iter().all(fits) {
            return Ok(Told::Each);
        }
    }
    let from = common(lower);
    let length = options(lower, upper, false, &from).len() + ",userxattr".len();
    // What is mounted by path can only be the root: all else is inside of it, or of a scratch, by descriptor.
    if length <= PAGE && matches!(at, At::Root(_)) {
        return Ok(Told::Page { from });
    }
    let why =
        format!("their names are {length} bytes together, and this kernel takes {PAGE} (since Linux 6.8 any number)");
    Err(Rejected::new(format!("cannot stack {} layers", lower.len()), why)
        .hint("a store with a shorter path (--root) needs fewer, an image with fewer layers, too"))
}

/// The steps by which an image's layers (top first) become one tree that can be read, and where that is: below
/// `directory`, which is made for it.
///
/// # Errors
/// As [`tell`].
pub fn image(host: &Host, layers: &[String], directory: &str) -> Result<(Vec<HostStep>, String), Rejected> {
    let (at, empty) = (format!("{directory}/tree"), format!("{directory}/empty"));
    let make = |path: &String| HostStep::Directory { path: path.clone(), mode: 0o755, owner: None };
    let mut steps = vec![
        HostStep::Home { path: directory.to_owned(), mode: 0o700, owner: None, mapped: false },
        make(&at),
        make(&empty),
    ];
    // Without an upper one, overlayfs wants two layers at least.
    let lower: Vec<String> = layers.iter().cloned().chain([empty]).collect();
    let told = tell(host, &lower, None, &At::Root(at.clone()))?;
    steps.push(HostStep::Layers { lower, at: at.clone(), userxattr: !host.initial, told });
    Ok((steps, at))
}

/// The same where overlayfs cannot work: a copy.
#[must_use]
pub fn copied(host: &Host, layers: &[String], directory: &str) -> (Vec<HostStep>, String) {
    let (at, mapped) = (format!("{directory}/tree"), host.rootless());
    let steps = vec![
        HostStep::Home { path: directory.to_owned(), mode: 0o700, owner: None, mapped },
        HostStep::Tree { layers: layers.to_vec(), to: at.clone(), ids: Ids::default(), mapped },
    ];
    (steps, at)
}

/// For mount(2), in the working directory `from`; empty: the paths as they are.
#[must_use]
pub fn options(lower: &[String], upper: Option<&Upper>, userxattr: bool, from: &str) -> String {
    let names: Vec<String> = lower.iter().map(|path| relative(path, from).to_owned()).collect();
    // The kernel splits at commas before overlayfs splits at colons, and takes the backslashes away last.
    let mut options = format!("lowerdir={}", join(&names).replace(',', "\\,"));
    if let Some(Upper { upper, work, volatile, .. }) = upper {
        let escape = |path: &str| path.replace('\\', "\\\\").replace(',', "\\,");
        options += &format!(",upperdir={},workdir={}", escape(upper), escape(work));
        if *volatile {
            options += ",volatile";
        }
    }
    if userxattr {
        options += ",userxattr";
    }
    options
}

/// Overlayfs splits the list at colons.
#[must_use]
pub fn join(lower: &[String]) -> String {
    let escaped: Vec<String> = lower.iter().map(|path| path.replace('\\', "\\\\").replace(':', "\\:")).collect();
    escaped.join(":")
}

/// The deepest directory that all of them are in.
fn common(paths: &[String]) -> String {
    let above = |path: &str| path.rsplit_once('/').map_or(String::new(), |(above, _)| above.to_owned());
    let mut common = paths.first().map(|path| above(path)).unwrap_or_default();
    while paths.iter().any(|path| !path.starts_with(&format!("{common}/"))) && !common.is_empty() {
        common = above(&common);
    }
    if common.is_empty() { "/".to_owned() } else { common }
}

fn relative<'a>(path: &'a str, from: &str) -> &'a str {
    let below = path.strip_prefix(from).filter(|_| !from.is_empty()).map(|rest| rest.trim_start_matches('/'));
    below.filter(|rest| !rest.is_empty()).unwrap_or(path)
}

pub(crate) fn shell(
    lower: &[String],
    upper: Option<&Upper>,
    at: &At,
    reader: Option<(u32, u32)>,
    userxattr: bool,
    told: &Told,
) -> String {
    let at = match at {
        At::Root(path) => quote(path),
        At::Inside(path) => inside(path),
        At::Scratch(path) => format!("\"$SCRATCH\"/{}", quote(path)),
    };
    let mount = |from: &str| {
        let options = quote(&options(lower, upper, userxattr, from));
        format!("mount -t overlay -o {options} overlay {at}")
    };
    let mount = match told {
        Told::Together | Told::Each => mount(""),
        Told::Page { from } => format!("(cd {} && LIBMOUNT_FORCE_MOUNT2=always {})", quote(from), mount(from)),
    };
    match reader {
        // Not quite: setfsuid(2) has no shell form. What nobody cannot read is the veil's alone there.
        Some((uid, gid)) => format!("# in sampan, with the file-system ids {uid}:{gid}:\n{mount}"),
        None => mount,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserNamespaces;

    fn host(kernel: (u32, u32)) -> Host {
        Host {
            euid: 0,
            egid: 0,
            kernel,
            capabilities: !0,
            last_capability: 40,
            time_namespace: true,
            hard_limits: std::collections::BTreeMap::new(),
            subordinate: None,
            user_namespaces: UserNamespaces::Allowed,
            initial: true,
            ids: crate::mounts::Ids::default(),
            setgroups: true,
            owned: vec![],
            machine: "x86_64".into(),
        }
    }

    fn layers(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("/var/lib/sampan/layers/{number:064}")).collect()
    }

    fn told(kernel: (u32, u32), lower: &[String]) -> Result<Told, Rejected> {
        let data = format!("/var/lib/sampan/containers/{:064}", 0);
        let upper =
            Upper { upper: format!("{data}/upper"), work: format!("{data}/work"), volatile: false, limit: None };
        tell(&host(kernel), lower, Some(&upper), &At::Root(format!("{data}/merged")))
    }

    #[test]
    fn as_the_kernel_takes_them() {
        assert_eq!(told((5, 11), &layers(2)), Ok(Told::Together));
        assert_eq!(told((6, 8), &layers(45)), Ok(Told::Each));
        assert_eq!(told((6, 8), &layers(500)), Ok(Told::Each));
        assert_eq!(told((6, 8), &layers(501)).unwrap_err().why, "overlayfs takes 500 at most");
        assert_eq!(told((6, 7), &layers(45)), Ok(Told::Page { from: "/var/lib/sampan/layers".into() }));
        assert_eq!(told((6, 7), &layers(60)).unwrap_err().what, "cannot stack 60 layers");
        // Seen through a user namespace's maps they have short names.
        let shifted: Vec<String> = (0..200).map(|number| format!("/{}/layers/{number}", "x".repeat(90))).collect();
        assert_eq!(told((6, 7), &shifted), Ok(Told::Page { from: format!("/{}/layers", "x".repeat(90)) }));
    }

    #[test]
    fn an_image_is_two_layers_at_least() {
        let (steps, at) = image(&host((6, 8)), &layers(1), "/run/m").unwrap();
        let undone: Vec<String> = steps.iter().flat_map(HostStep::undo).map(|verb| verb.shell()).collect();
        assert_eq!(undone, ["rm -rf --one-file-system /run/m", "umount -l /run/m/tree"]);
        let Some(HostStep::Layers { lower, userxattr: false, told: Told::Together, .. }) = steps.last() else {
            panic!()
        };
        assert_eq!((at.as_str(), lower.len(), lower[1].as_str()), ("/run/m/tree", 2, "/run/m/empty"));
        assert!(image(&host((6, 7)), &layers(60), "/run/m").is_err());
    }

    #[test]
    fn names_in_a_page() {
        let lower = ["/a/b,c", "/a/d:e/f", "/a/g\\h"].map(str::to_owned);
        assert_eq!(common(&lower), "/a");
        assert_eq!(options(&lower, None, true, "/a"), "lowerdir=b\\,c:d\\:e/f:g\\\\h,userxattr");
        assert_eq!(common(&["/a/b".to_owned(), "/c".to_owned()]), "/");
        assert_eq!(options(&["/a/b".to_owned(), "/c".to_owned()], None, false, "/"), "lowerdir=a/b:c");
        assert_eq!(options(&["/".to_owned()], None, false, "/"), "lowerdir=/");
    }
}
