//! The seccomp listener, handed to the agent that answers for the container (config-linux.md, "Seccomp").

use plan::Rejected;
use runtime::Result;
use spec::runtime::{ContainerProcessState, Seccomp, SeccompSection, State};
use std::os::fd::OwnedFd;
use std::path::Path;

/// That of the process `pid`, in a container of this state.
///
/// # Errors
/// Nobody listens.
pub(crate) fn hand_over(section: Option<&SeccompSection>, listener: &OwnedFd, pid: i32, state: State) -> Result<()> {
    let Some(profile) = section.and_then(|section| section.read().ok()) else { return Ok(()) };
    let Seccomp { listener_path, listener_metadata, .. } = profile.as_ref();
    let message = ContainerProcessState {
        oci_version: crate::VERSION.to_owned(),
        fds: vec!["seccompFd".to_owned()],
        pid,
        metadata: listener_metadata.clone(),
        state,
    };
    let text = serde_json::to_vec(&message).unwrap_or_default();
    runtime::console::send(Path::new(listener_path), listener, &text).map_err(|error| {
        // In runc's words, which its callers look for.
        let why = format!("failed to connect with seccomp agent specified in the seccomp profile: {error}");
        Rejected::new(format!("cannot hand the seccomp listener to {listener_path}"), why).into()
    })
}
