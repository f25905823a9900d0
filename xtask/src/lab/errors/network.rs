//! Networks, addresses and published ports.

use super::{Case, case};

pub const CASES: &[Case] = &[
    case(
        "a port that another program has",
        125,
        "18080",
        "",
        r#"
        without docker "started without networks"; need busybox; busybox nc -ll -p 18080 -e true & listening 18080
        fails engine run --rm -p 18080:80 lab true"#,
    ),
    case(
        "a port that another container has",
        125,
        "18080",
        "",
        r#"
        without docker "started without networks"; quietly engine run -d --name=one -p 18080:80 lab sleep 100
        fails engine run --rm -p 18080:80 lab true"#,
    ),
    case("a port out of range", 125, "70000", "65535", "fails engine run --rm -p 70000:80 lab true"),
    case("ranges of ports of other lengths", 125, "8000-8005", "", "fails engine run --rm -p 8000-8005:80-82 lab true"),
    case(
        "a port at an address that is not here",
        125,
        "203.0.113.9",
        "ip addr",
        "fails engine run --rm -p 203.0.113.9:8080:80 lab true",
    ),
    case("a port and no network", 0, "no effect with --network none", "", "fails run -p 8080:80 lab true"),
    case(
        "a network that is not there",
        125,
        "nowhere",
        "sampan network ls",
        "fails engine run --rm --network nowhere lab true",
    ),
    case(
        "a network that is there already",
        1,
        "already",
        "",
        "quietly engine network create one; fails engine network create one; engine network rm one >/dev/null",
    ),
    case(
        "networks that overlap",
        1,
        "10.77.0.128/25 overlaps with 10.77.0.0/24 of the network one",
        "another --subnet",
        r#"
        without docker "started without networks"; quietly engine network create --subnet 10.77.0.0/24 one
        fails engine network create --subnet 10.77.0.128/25 two; engine network rm one >/dev/null"#,
    ),
    case(
        "a network over a route of the host",
        1,
        "which this host has a route to",
        "another --subnet",
        r#"
        without docker "started without networks"; ip link add up0 type veth peer name up1; ip addr add 10.78.0.1/16 dev up0; ip link set up0 up
        fails engine network create --subnet 10.78.3.0/24 two"#,
    ),
    case(
        "a gateway outside of its subnet",
        1,
        "10.1.0.1",
        "10.77.0.0/24",
        "fails engine network create --subnet 10.77.0.0/24 --gateway 10.1.0.1 one",
    ),
    case(
        "an address that another container has",
        125,
        "container one has it",
        "choose another",
        r#"
        without docker "started without networks"; quietly engine network create --subnet 10.77.0.0/24 net
        quietly engine run -d --name=one --network net --ip 10.77.0.9 lab sleep 100
        fails engine run --rm --network net --ip 10.77.0.9 lab true
        engine rm -f one >/dev/null; engine network rm net >/dev/null"#,
    ),
    case(
        "an address outside of the subnet",
        125,
        "10.1.2.3",
        "10.77.0.0/24",
        r#"
        without docker "started without networks"; quietly engine network create --subnet 10.77.0.0/24 net
        fails engine run --rm --network net --ip 10.1.2.3 lab true; engine network rm net >/dev/null"#,
    ),
    case(
        "a network in use",
        1,
        "one",
        "sampan network disconnect",
        r#"
        without docker "started without networks"; quietly engine network create net
        quietly engine run -d --name=one --network net lab sleep 100
        fails engine network rm net; engine rm -f one >/dev/null; engine network rm net >/dev/null"#,
    ),
    case(
        "a network that is not there, to remove",
        1,
        "nowhere",
        "sampan network ls",
        "fails engine network rm nowhere",
    ),
    case("an unknown network driver", 1, "weave", "bridge", "fails engine network create --driver weave one"),
    case("a subnet that is none", 1, "10.77.0.0/33", "", "fails engine network create --subnet 10.77.0.0/33 one"),
    case(
        "the network of a container that is not there",
        125,
        "absent",
        "sampan ps",
        "fails engine run --rm --network container:absent lab true",
    ),
    case(
        "the network of a container that does not run",
        125,
        "not running",
        "sampan start one",
        r#"
        quietly engine create --network=none --name=one lab true; fails engine run --rm --network container:one lab true"#,
    ),
    case(
        "a setting of the host's network",
        125,
        "no net namespace of its own",
        "leave it out",
        "fails engine run --rm --network host --sysctl net.ipv4.ip_default_ttl=9 lab true",
    ),
    case(
        "a name server that is none",
        125,
        "not an IP address",
        "such as",
        "fails engine run --rm --network=none --dns dns.example lab true",
    ),
    case("a host without an address", 125, "db", ":", "fails engine run --rm --network=none --add-host db lab true"),
    case("an Ethernet address that is none", 125, "02:42", "", "fails engine run --rm --mac-address 02:42 lab true"),
    case(
        "settings that cannot be written",
        125,
        "ip_forward",
        "",
        r#"
        without docker "started without networks"; echo 0 >/proc/sys/net/ipv4/ip_forward; mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
        fails engine run --rm -p 18080:80 lab true"#,
    ),
    case(
        "no right to make links",
        125,
        "cannot look at this host's network",
        "CAP_NET_ADMIN",
        r#"
        without docker "its daemon has it"; AS=(setpriv --bounding-set=-net_admin --inh-caps=-net_admin); fails engine run --rm lab true"#,
    ),
    case(
        "no name server on the host",
        0,
        "the host names no resolver",
        "--dns",
        r#"
        only; printf '' | cover /etc/resolv.conf; fails engine run --rm --network bridge lab true"#,
    ),
];
