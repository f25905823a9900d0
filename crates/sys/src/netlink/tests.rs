//! Links and addresses on the real kernel, in network namespaces of their own.

use super::*;
use crate::netlink::address::Address;
use crate::netlink::link::{Namespace, Veth};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// In a thread, because a network namespace is the thread's own.
fn in_new_namespace(test: impl FnOnce() + Send + 'static) {
    let joined = std::thread::spawn(|| {
        // SAFETY: no pointers; only this thread changes.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
            println!("skipped: unshare(CLONE_NEWNET): {}", std::io::Error::last_os_error());
            return;
        }
        test();
    })
    .join();
    assert!(joined.is_ok());
}

#[test]
fn a_refusal_names_the_message_and_the_kernels_reason() {
    in_new_namespace(|| {
        let socket = Socket::open(Protocol::Route).unwrap();
        let mut batch = Batch::new();
        batch.set_up(1);
        batch.add_bridge("lo", [2, 0, 0, 0, 0, 1], 1500);
        let error = socket.apply(&batch).unwrap_err();
        assert_eq!(error.errno, Errno::EXIST);
        assert!(error.call.starts_with("RTM_NEWLINK lo"), "{error}");
        assert!(socket.link("lo").unwrap().unwrap().up);
        assert_eq!(socket.link("none").unwrap(), None);
    });
}

#[test]
fn a_pair_is_complete_in_one_message() {
    in_new_namespace(|| {
        let socket = Socket::open(Protocol::Route).unwrap();
        let mut batch = Batch::new();
        batch.add_bridge("br7", [2, 0, 0, 0, 0, 1], 1400);
        socket.apply(&batch).unwrap();
        let bridge = socket.link("br7").unwrap().unwrap();
        assert_eq!((bridge.mtu, bridge.up, bridge.kind.as_str()), (1400, true, "bridge"));

        let host = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        let inside = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let mut batch = Batch::new();
        batch.add_veth(&Veth {
            name: "sp0",
            master: bridge.index,
            mtu: 1400,
            peer: "eth0",
            peer_mac: [2, 0, 0, 0, 0, 2],
            namespace: Namespace::Fd(std::os::fd::AsFd::as_fd(&inside)),
        });
        socket.apply(&batch).unwrap();
        let near = socket.link("sp0").unwrap().unwrap();
        assert_eq!((near.master, near.up), (Some(bridge.index), true));
        assert_eq!(socket.link("eth0").unwrap(), None);

        let mut batch = Batch::new();
        let address = Address { link: 2, ip: Ipv4Addr::new(10, 1, 0, 2).into(), prefix: 24, peer: None };
        let address6 =
            Address { link: 2, ip: IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2)), prefix: 64, peer: None };
        batch.set_up(1);
        batch.set_up(BY_NAME);
        batch.add_address(Address { link: BY_NAME, ..address });
        batch.add_address(Address { link: BY_NAME, ..address6 });
        batch.add_default_route(Ipv4Addr::new(10, 1, 0, 1).into(), BY_NAME);
        batch.add_default_route(IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1)), BY_NAME);
        let program = InChild::new("eth0", &batch).unwrap();
        program.run().unwrap();
        let inner = Socket::open(Protocol::Route).unwrap();
        let eth0 = inner.link("eth0").unwrap().unwrap();
        assert_eq!((eth0.index, eth0.up, eth0.mtu, eth0.kind.as_str()), (2, true, 1400, "veth"));
        let addresses = inner.addresses().unwrap();
        assert!(addresses.contains(&address) && addresses.contains(&address6), "{addresses:?}");
        let gateways: Vec<_> = inner.routes().unwrap().into_iter().filter_map(|route| route.gateway).collect();
        assert_eq!(gateways.len(), 2);
        let mut wrong = Batch::new();
        wrong.set_up(1);
        wrong.set_up(77);
        assert_eq!(InChild::new("eth0", &wrong).unwrap().run(), Err((2, Errno::NODEV)));
        drop(host);
    });
}
