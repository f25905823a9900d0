//! Networks as they should be, whatever somebody did to the host's rules and links meanwhile.

use super::state;
use super::{Context, bridge, firewall, forwarding};
use crate::lock::Lock;
use std::path::Path;
use sys::Result;
use sys::netlink::Batch;

/// Of each network with containers: forwarding, the bridge with its addresses and cables, and the table with all
/// elements, in one transaction. What is as it should be stays. Containers and their connections are not touched.
///
/// # Errors
/// The call that was refused.
pub fn reload(state_dir: &Path) -> Result<()> {
    let Some(_lock) = Lock::take_existing(state_dir)? else {
        return Ok(());
    };
    let mut context = Context::new();
    let networks = state::networks(state_dir)?;
    if networks.is_empty() {
        // All are without one, or an ordinary user's, whose traffic pasta carries.
        return Ok(());
    }
    for network in networks.iter().filter(|network| state::is_used(state_dir, network)) {
        let Some(shared) = state::shared(state_dir, network).filter(|shared| shared.parent.is_none()) else { continue };
        forwarding::switch_on(state_dir, shared.subnet6.is_some())?;
        bridge(&shared, &mut context)?;
        plug(state_dir, network, &shared.bridge, &context)?;
    }
    firewall::rebuild(context.netfilter()?, context.route()?, state_dir, &networks)
}

/// The cables that are no port of the bridge; one that is not there belongs to a container that just ends.
fn plug(state_dir: &Path, network: &str, bridge: &str, context: &Context) -> Result<()> {
    let (route, master) = (context.route()?, context.bridge_index(bridge)?);
    for lease in state::all(state_dir, network)? {
        let Some(link) = route.link(&lease.cable)? else { continue };
        if link.master != Some(master) {
            let mut batch = Batch::new();
            batch.set_master(link.index, master);
            route.apply(&batch)?;
        }
    }
    Ok(())
}
