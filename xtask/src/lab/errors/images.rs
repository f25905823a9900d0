//! Registries, images and their store.

use super::{Case, case};

pub const CASES: &[Case] = &[
    case(
        "an image that is not here and shall not be pulled",
        125,
        "not in the store",
        "sampan images",
        "fails run --pull never absent true",
    ),
    case("a name in upper case", 125, "must be lower case", "", "fails run UPPER true"),
    case("a name with two tags", 125, "a:b:c", "", "fails run a:b:c true"),
    case(
        "a digest that is cut",
        125,
        "the digest is not sha256 and 64 hex digits",
        "",
        "fails run lab@sha256:abc true",
    ),
    case(
        "a registry that is down",
        125,
        "nothing listens there",
        "is that its port?",
        "fails run 127.0.0.1:5000/lab true",
    ),
    case(
        "a registry whose name is unknown",
        125,
        "nobody says where nosuch.invalid is",
        "/etc/resolv.conf",
        r#"
        printf '127.0.0.1 localhost\n' | cover /etc/hosts; printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' | cover /etc/resolv.conf
        fails run nosuch.invalid/lab true"#,
    ),
    case(
        "no name server at all",
        125,
        "nobody says where nosuch.invalid is",
        "/etc/resolv.conf",
        r#"
        printf '' | cover /etc/resolv.conf; fails run nosuch.invalid/lab true"#,
    ),
    case(
        "a registry that does not answer",
        125,
        "",
        "SAMPAN_REGISTRY_TIMEOUT",
        r#"
        only; need busybox; busybox nc -ll -p 5000 -e sleep 100 & listening 5000
        export SAMPAN_REGISTRY_TIMEOUT=1; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a certificate of an unknown authority",
        125,
        "does not know",
        "certs.d",
        r#"
        certificate; registry "$TLS"; fails run registry.test:5000/lab true"#,
    ),
    case(
        "an expired certificate",
        125,
        "expired",
        "clock",
        r#"
        certificate 0; trusted; registry "$TLS"; sleep 1.1; fails run registry.test:5000/lab true"#,
    ),
    case(
        "a certificate for another name",
        125,
        "for a host of another name: registry.test",
        "by that name",
        r#"
        certificate; trusted; cp -r /etc/docker/certs.d/registry.test:5000 /etc/docker/certs.d/other.test:5000
        cp -r /etc/containers/certs.d/registry.test:5000 /etc/containers/certs.d/other.test:5000
        registry "$TLS"; fails run other.test:5000/lab true"#,
    ),
    case(
        "a registry that wants a client's certificate",
        125,
        "certificate",
        "client.cert",
        r#"
        certificate; trusted; registry "  tls: {certificate: server.pem, key: server.key, clientcas: [ca.crt]}"
        fails run registry.test:5000/lab true"#,
    ),
    case(
        "an authority's file that is none",
        125,
        "no PEM certificate in it",
        "",
        r#"
        certificate; trusted; for ca in /etc/{docker,containers}/certs.d/*/ca.crt; do echo junk >$ca; done
        registry "$TLS"; fails run registry.test:5000/lab true"#,
    ),
    case(
        "plain HTTP where TLS is expected",
        125,
        "registry.test:5000",
        "--tls-verify=false",
        "registry; fails run registry.test:5000/lab true",
    ),
    case(
        "TLS where plain HTTP is expected",
        125,
        "",
        "",
        r#"
        certificate; registry "$TLS"; fails run --tls-verify=false registry.test:5000/lab true"#,
    ),
    case(
        "no login",
        125,
        "no login is kept",
        "sampan login 127.0.0.1:5000",
        r#"
        need docker-registry
        echo 'alice:$2b$04$qsva042Kx77Xa/Tvj9w/K.z0IA7IgyeTo.hwVDwBBFKO9hsCYa7DK' >users
        registry "auth: {htpasswd: {realm: r, path: users}}"; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a wrong password",
        1,
        "password",
        "",
        r#"
        need docker-registry
        echo 'alice:$2b$04$qsva042Kx77Xa/Tvj9w/K.z0IA7IgyeTo.hwVDwBBFKO9hsCYa7DK' >users
        registry "auth: {htpasswd: {realm: r, path: users}}"; fails engine login -u alice -p wrong 127.0.0.1:5000"#,
    ),
    case(
        "a password that was changed since the login",
        125,
        "the user alice or the password is wrong",
        "sampan login 127.0.0.1:5000",
        r#"
        need docker-registry
        echo 'alice:$2b$04$qsva042Kx77Xa/Tvj9w/K.z0IA7IgyeTo.hwVDwBBFKO9hsCYa7DK' >users
        mkdir .docker; printf '{"auths":{"127.0.0.1:5000":{"auth":"%s"}}}' $(printf alice:old | base64) >.docker/config.json
        registry "auth: {htpasswd: {realm: r, path: users}}"; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a config.json that is no JSON",
        125,
        "config.json",
        "",
        r#"
        mkdir .docker; echo '{"auths":' >.docker/config.json; registry; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a credential helper that is not there",
        125,
        "docker-credential-nosuch",
        "config.json",
        r#"
        mkdir .docker; echo '{"credsStore":"nosuch"}' >.docker/config.json; registry; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a registries.conf that is no TOML",
        125,
        "registries.conf",
        "",
        r#"
        only; mkdir -p /etc/containers; mount -t tmpfs c /etc/containers; echo '[[registry' >/etc/containers/registries.conf
        registry; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "an image that the registry has not",
        125,
        "127.0.0.1:5000/absent",
        "sampan tags",
        "registry; fails run 127.0.0.1:5000/absent true",
    ),
    case(
        "a tag that the registry has not",
        125,
        "nosuch",
        "sampan tags",
        "registry; pushed; fails run 127.0.0.1:5000/lab:nosuch true",
    ),
    case(
        "a digest that the registry has not",
        125,
        "sha256:0000",
        "",
        r#"
        registry; pushed; fails run 127.0.0.1:5000/lab@sha256:$(printf 0%.0s {1..64}) true"#,
    ),
    case(
        "no image for the platform",
        125,
        "linux/s390x",
        "linux/amd64",
        "registry; pushed; fails run --pull always --platform linux/s390x 127.0.0.1:5000/lab true",
    ),
    case(
        "the rate limit",
        125,
        "429",
        "log in",
        r#"
        slow; answers '429 Too Many Requests' 'Retry-After: 1' 'Content-Length: 0'; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a registry that has a bad day",
        125,
        "503",
        "",
        r#"
        slow; answers '503 Service Unavailable' 'Content-Length: 0'; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a server that is no registry",
        125,
        "no registry",
        "right one",
        r#"
        answers '200 OK' 'Content-Type: text/html' 'Content-Length: 0'; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a proxy that is not there",
        125,
        "proxy",
        "HTTPS_PROXY",
        r#"
        without docker "its daemon's environment counts"; export HTTPS_PROXY=http://127.0.0.1:9; fails run registry.test:5000/lab true"#,
    ),
    case(
        "a proxy that wants a password",
        125,
        "407",
        "HTTPS_PROXY",
        r#"
        without docker "its daemon's environment counts"; answers '407 Proxy Authentication Required' 'Content-Length: 0'
        export HTTPS_PROXY=http://127.0.0.1:5000; fails run registry.test/lab true"#,
    ),
    case(
        "a layer that was damaged at the registry",
        125,
        "sha256:",
        "",
        r#"
        only; registry; pushed; for blob in $(find registry -name data -size +100k); do printf junk | dd of=$blob bs=1 seek=5000 conv=notrunc status=none; done
        mkdir data; DATA=$DIR/data; fails run 127.0.0.1:5000/lab true"#,
    ),
    case(
        "a push without a login",
        1,
        "no login is kept",
        "sampan login 127.0.0.1:5000",
        r#"
        need docker-registry
        echo 'alice:$2b$04$qsva042Kx77Xa/Tvj9w/K.z0IA7IgyeTo.hwVDwBBFKO9hsCYa7DK' >users
        registry "auth: {htpasswd: {realm: r, path: users}}"; quietly engine tag lab 127.0.0.1:5000/mine
        fails engine push 127.0.0.1:5000/mine; engine rmi 127.0.0.1:5000/mine >/dev/null"#,
    ),
    case(
        "a push of what is not there",
        1,
        "not in the store",
        "sampan images",
        "fails engine push 127.0.0.1:5000/absent",
    ),
    case(
        "an image in use",
        1,
        "uses it",
        "remove the container first",
        r#"
        only; mkdir data; DATA=$DIR/data; quietly engine import $LAB/rootfs.tar lab
        quietly engine create --network=none --name=one lab true; fails engine rmi lab"#,
    ),
    case("an image that is not there, to remove", 1, "not in the store", "sampan images", "fails engine rmi absent"),
    case("an archive that is none", 1, "no tar archive", "", "fails engine load -i /etc/passwd"),
    case(
        "an archive that was cut",
        1,
        "",
        "",
        r#"
        engine save lab >whole.tar; head -c 300000 whole.tar >cut.tar; fails engine load -i cut.tar"#,
    ),
    case(
        "an archive with a damaged layer",
        1,
        "sha256:",
        "",
        r#"
        only; engine save --format oci-archive -o whole.tar lab >/dev/null; mkdir x data; tar -C x -xf whole.tar
        blob=$(find x -size +100k -type f | head -n 1); printf junk | dd of=$blob bs=1 seek=5000 conv=notrunc status=none
        tar -C x -cf bad.tar .; DATA=$DIR/data; fails engine load -i bad.tar"#,
    ),
    case("an archive that is not there", 1, "ENOENT", "", "fails engine load -i /no/such"),
    case("an import of what is no tar", 1, "no tar archive", "", "fails engine import /etc/passwd junk"),
    case(
        "a layer in the store that is gone",
        125,
        "is missing",
        "sampan system check --repair",
        r#"
        only; mkdir data; DATA=$DIR/data; quietly engine import $LAB/rootfs.tar lab; rm -r data/layers/*; fails run --pull never lab true"#,
    ),
    case(
        "a manifest in the store that is damaged",
        125,
        "",
        "sampan system check --repair",
        r#"
        only; mkdir data; DATA=$DIR/data; quietly engine import $LAB/rootfs.tar lab
        for blob in $(find data/images/blobs -type f -size -4k); do echo junk >$blob; done; fails run --pull never lab true"#,
    ),
    case(
        "more layers than overlay takes",
        125,
        "overlayfs takes 500 at most",
        "sampan export",
        r#"
        slow; only; mkdir -p image/blobs/sha256 one; DATA=$DIR/data; mkdir data
        blob() { local sum; sum=$(sha256sum <$1); sum=${sum%% *}; mv $1 image/blobs/sha256/$sum; echo $sum; }
        layers= ids=
        for n in {1..520}; do
            echo $n >one/file; [ $n -lt 520 ] || { rm one/file; cp $(command -v busybox) one/file; }; tar -C one -cf layer .; size=$(stat -c %s layer); sum=$(blob layer)
            layers+=",{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:$sum\",\"size\":$size}"; ids+=",\"sha256:$sum\""
        done
        printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%s]}}' ${ids#,} >c
        size=$(stat -c %s c); sum=$(blob c)
        printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[%s]}' $sum $size ${layers#,} >m
        size=$(stat -c %s m); sum=$(blob m)
        echo '{"imageLayoutVersion":"1.0.0"}' >image/oci-layout
        printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"deep:latest"}}]}' $sum $size >image/index.json
        tar -C image -cf deep.tar .; quietly engine load -i deep.tar; fails run deep /file"#,
    ),
];
