//! A pull of several layers at once, through kills, restarts of the registry and cut connections: no byte is asked for twice.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

mod ground;
#[path = "ground/registry.rs"]
mod registry;

use ground::{Ground, Ran, ran, until};
use registry::{Kind, Proxy, Published, Registry, layer_of, noise};
use spec::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

const LAYERS: usize = 5;
const SIZE: u64 = 2_000_000;

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// So much of each blob is in the store.
fn kept(ground: &Ground, layers: &[Digest]) -> BTreeMap<String, u64> {
    let length = |layer: &Digest| {
        let places = ["partial", "images/blobs/sha256"];
        let files = places.map(|place| ground.dir.join("data").join(place).join(layer.hex()));
        files.iter().find_map(|file| fs::metadata(file).ok()).map_or(0, |file| file.len())
    };
    layers.iter().map(|layer| (layer.to_string(), length(layer))).collect()
}

fn publish(ground: &Ground, registry: &Registry) -> Published {
    let mut layers = vec![layer_of(&ground.rootfs())];
    for number in 0..LAYERS {
        let upper = ground.dir.join(format!("upper{number}"));
        fs::create_dir(&upper).unwrap();
        noise(&upper.join(format!("noise{number}")), SIZE);
        layers.push(layer_of(&upper));
    }
    let machine = spec::image::Platform::native().architecture;
    registry.publish("a", "v1", &machine, &layers, false)
}

/// Of each request for the layer: where it begins, and how many bytes went through.
fn requests(proxy: &Proxy, layer: &Digest) -> Vec<(u64, u64)> {
    let all = proxy.blobs.lock().unwrap();
    let own = all.iter().filter(|(blob, ..)| *blob == layer.to_string());
    own.map(|(_, from, bytes)| (*from, *bytes)).collect()
}

/// Cut connections and a registry that is started anew, within one pull: what has come is not asked for again.
#[test]
fn a_pull_that_goes_on_gets_each_byte_once() {
    let (Some(ground), Some(mut registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let image = publish(&ground, &registry);
    let proxy = Proxy::start(registry.port);
    *proxy.pace.lock().unwrap() = Some(1_000_000);
    let name = format!("{}/a:v1", proxy.host());
    let mut child = ground.command(&["pull", &name]).stdout(Stdio::null()).spawn().unwrap();
    let mut round = 0_u32;
    while child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(150));
        match round % 6 {
            5 => registry.restart(),
            _ => *proxy.budget.lock().unwrap() = Some(u64::from(round) * 7919 % 40_000),
        }
        round += 1;
    }
    assert!(child.wait().unwrap().success());
    let sizes = kept(&ground, &image.layers);
    let mut count = 0;
    for layer in &image.layers {
        let own = requests(&proxy, layer);
        assert_eq!(own.first().map(|(from, _)| *from), Some(0), "{layer}: {own:?}");
        for pair in own.windows(2) {
            assert_eq!(pair[0].0 + pair[0].1, pair[1].0, "{layer}: {own:?}");
        }
        assert_eq!(own.iter().map(|(_, bytes)| bytes).sum::<u64>(), sizes[&layer.to_string()], "{layer}: {own:?}");
        count += own.len();
    }
    assert!(count > image.layers.len() + 5, "the pull was too fast to be broken: {count} requests");
}

#[test]
fn no_byte_of_any_layer_is_fetched_twice() {
    let (Some(ground), Some(mut registry)) = (Ground::new(), Registry::start(Kind::Plain)) else { return };
    let image = publish(&ground, &registry);
    let proxy = Proxy::start(registry.port);
    let name = format!("{}/a:v1", proxy.host());
    let mut ends = vec![kept(&ground, &image.layers)];
    let mut kills = 0;
    for round in 0..9_u64 {
        *proxy.pace.lock().unwrap() = Some(1_500_000);
        let mut child = ground.command(&["pull", &name]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(80 + round * 131 % 500));
        match round % 3 {
            1 => registry.restart(),
            2 => *proxy.budget.lock().unwrap() = Some(100_000),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(round * 57 % 300));
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        // The worker goes with its parent, but not in the same instant.
        let mut last = kept(&ground, &image.layers);
        until("nothing writes any more", || {
            std::thread::sleep(Duration::from_millis(200));
            let now = kept(&ground, &image.layers);
            std::mem::replace(&mut last, now.clone()) == now
        });
        ends.push(last);
    }
    assert!(kills > 4, "the pull was too fast to be killed");
    *proxy.pace.lock().unwrap() = None;
    sampan(&ground, &["pull", &name]).ok();
    let sizes = kept(&ground, &image.layers);
    for layer in &image.layers {
        let own = requests(&proxy, layer);
        // Each request begins behind all that the store had, and never behind what had been sent.
        for pair in own.windows(2) {
            let [(before, sent), (from, _)] = pair else { continue };
            assert!(before < from && *from <= before + sent, "{layer}: {own:?}");
        }
        for end in &ends {
            let had = end[&layer.to_string()];
            // What was kept after a kill is where some request began, unless nothing came after it.
            let begins = own.iter().any(|(from, _)| *from == had);
            assert!(begins || had == sizes[&layer.to_string()] || had == 0, "{layer}: {own:?} after {had}");
        }
    }
    let script = "cat /noise* | wc -c";
    let run = ["run", "--rm", "--network=none", "--pull=never", &name, "sh", "-c", script];
    assert_eq!(sampan(&ground, &run).ok(), (LAYERS as u64 * SIZE).to_string());
    for place in ["partial", "tmp"] {
        assert_eq!(fs::read_dir(ground.dir.join("data").join(place)).unwrap().count(), 0, "{place}");
    }
}
