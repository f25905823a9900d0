//! Disks, directories, mounts and volumes.

use super::{Case, case};

pub const CASES: &[Case] = &[
    case(
        "no space for an image",
        1,
        "no space left on device",
        "df -h",
        r#"
        only; mkdir data; mount -t tmpfs -o size=512k d data; DATA=$DIR/data; fails engine import $LAB/rootfs.tar full"#,
    ),
    case(
        "no inodes for an image",
        1,
        "ENOSPC",
        "df -i",
        r#"
        only; mkdir data; mount -t tmpfs -o nr_inodes=60 d data; DATA=$DIR/data; fails engine import $LAB/rootfs.tar full"#,
    ),
    case(
        "no space for a container",
        125,
        "ENOSPC",
        "df -h",
        r#"
        only; mkdir data; mount -t tmpfs -o size=12m d data; DATA=$DIR/data; quietly engine import $LAB/rootfs.tar lab
        cat /dev/zero >data/zero 2>/dev/null || true; fails run lab true"#,
    ),
    case(
        "no inodes for a container",
        125,
        "ENOSPC",
        "df -i",
        r#"
        only; mkdir data; mount -t tmpfs -o nr_inodes=1k d data; DATA=$DIR/data; quietly engine import $LAB/rootfs.tar lab
        n=0; while { : >data/$((n+=1)); } 2>/dev/null; do :; done; fails run lab true"#,
    ),
    case(
        "no space for what a container writes",
        1,
        "No space left on device",
        "",
        r#"
        fails run --tmpfs /full:size=64k lab sh -c 'cat /dev/zero >/full/zero'"#,
    ),
    case(
        "a store that is read-only",
        125,
        "EROFS",
        "mount it writable",
        r#"
        only; mkdir data; mount -t tmpfs d data; DATA=$DIR/data; quietly engine import $LAB/rootfs.tar lab
        mount -o remount,ro data; fails run lab true"#,
    ),
    case("a data directory below a file", 125, "ENOTDIR", "--root", "only; DATA=/etc/passwd/data; fails run lab true"),
    case("a data directory that is a file", 125, "", "--root", "only; DATA=/etc/passwd; fails run lab true"),
    case(
        "a data directory on a file system that overlay cannot write to",
        125,
        "overlay",
        "--root",
        r#"
        only; mkdir low up work data; mount -t overlay -o lowerdir=low,upperdir=up,workdir=work o data
        DATA=$DIR/data; quietly engine import $LAB/rootfs.tar lab; export SAMPAN_STORAGE_DRIVER=overlay; fails run lab true"#,
    ),
    case(
        "a state directory that is full",
        125,
        "ENOSPC",
        "df -h",
        r#"
        only; mkdir state; mount -t tmpfs -o size=4k,nr_inodes=5,mode=700 s state; STATE=$DIR/state; fails run lab true"#,
    ),
    case(
        "a state directory of somebody else",
        125,
        "belongs to user 4321",
        "--state",
        r#"
        only; mkdir -m 777 state; chown 4321 state; STATE=$DIR/state; fails run lab true"#,
    ),
    case(
        "a mount whose source is not there",
        125,
        "nosuch",
        "make it first",
        "fails run --mount type=bind,source=/nosuch,target=/mnt lab true",
    ),
    case("a relative source", 125, "here", "", "fails run --mount type=bind,source=here/is,target=/mnt lab true"),
    case(
        "a directory over a file",
        125,
        "/etc/passwd",
        "both be directories, or both be files",
        "fails run -v $DIR:/etc/passwd lab true",
    ),
    case(
        "a file over a directory",
        125,
        "/tmp",
        "both be directories, or both be files",
        "fails run -v /etc/passwd:/tmp lab true",
    ),
    case("a mount over the root", 125, "/", "", "fails run -v $DIR:/ lab true"),
    case(
        "a mount into a read-only root",
        125,
        "EROFS",
        "in the image",
        r#"
        only; mkdir small; tar -C small -xf $LAB/rootfs.tar; mount --bind small small; mount -o remount,bind,ro small
        fails run -v $DIR:/new/place --rootfs $DIR/small true"#,
    ),
    case("two mounts on one target", 125, "/mnt", "", "fails run -v /etc:/mnt -v /tmp:/mnt lab true"),
    case("a tmpfs with an option that is none", 125, "nosuch", "size=", "fails run --tmpfs /t:nosuch lab true"),
    case("a volume with an unknown driver", 1, "nfs9", "local", "fails engine volume create --driver nfs9 one"),
    case(
        "a volume that is in use",
        1,
        "uses it, running or not",
        "--force",
        r#"
        quietly engine create --network=none --name=one -v data:/data lab true; fails engine volume rm data
        engine rm one >/dev/null; engine volume rm data >/dev/null"#,
    ),
    case("a volume that is not there", 1, "nosuch", "volume ls", "fails engine volume rm nosuch"),
    case(
        "a volume with a size where there are no quotas",
        1,
        "quota",
        "",
        "fails engine volume create --opt size=10m one",
    ),
    case(
        "a volume of an NFS server that is not there",
        125,
        "nfs",
        "",
        r#"
        quietly engine volume create --opt type=nfs --opt device=:/export --opt o=addr=127.0.0.1 remote
        fails run -v remote:/mnt lab true; engine volume rm remote >/dev/null || true"#,
    ),
    case(
        "a volume name that is none",
        125,
        "is no name of a volume",
        "a letter or digit",
        "fails run -v 'no name:/mnt' lab true",
    ),
    case(
        "a secret that is not there",
        125,
        "nosuch",
        "sampan secret",
        "without docker; fails run --secret nosuch lab true",
    ),
    case(
        "copying what is not there",
        1,
        "/nosuch",
        "",
        r#"
        quietly engine create --network=none --name=one lab true; fails engine cp one:/nosuch ."#,
    ),
    case(
        "copying to where nothing is",
        1,
        "nosuch",
        "",
        r#"
        quietly engine create --network=none --name=one lab true; fails engine cp /etc/passwd one:/nosuch/dir/"#,
    ),
    case(
        "a journal of a newer version",
        0,
        "no line of this version",
        "",
        r#"
        only; mkdir -p -m 700 /run/sampan/containers; printf 'sampan-journal 99\nhop\n' >/run/sampan/containers/$(printf a%.0s {1..64}).journal
        fails run lab true; rm /run/sampan/containers/*"#,
    ),
    case(
        "a journal that was cut",
        0,
        "",
        "",
        r#"
        only; mkdir -p -m 700 /run/sampan/containers; : >/run/sampan/containers/$(printf a%.0s {1..64}).journal
        fails run lab true; : >$OUT/left"#,
    ),
];
