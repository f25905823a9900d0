# Makes the lab's image, once: busybox, and programs that fail in the ways that users meet.
set -eu
cd $LAB; mkdir -p rootfs/{bin,etc,tmp,home,proc,sys,dev,run,root,usr/bin}
cp $(command -v busybox) rootfs/bin/busybox
for applet in $(busybox --list); do [ $applet = busybox ] || ln -sf busybox rootfs/bin/$applet; done
printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home:/bin/sh\n' >rootfs/etc/passwd
printf 'root:x:0:\napp:x:1000:\n' >rootfs/etc/group
ln -s ../../bin/busybox rootfs/usr/bin/env
cd rootfs/bin
# None of these names is an applet's: a redirection would follow the link.
printf '#!/bin/sh\r\necho hi\r\n' >dos
printf '#!/usr/bin/python3\nprint(1)\n' >script.py
printf '#!/usr/bin/env python3\nprint(1)\n' >env.py
printf 'echo hi\n' >text
printf '#!/bin/sh\n' >plain
: >empty
head -c 4000 busybox >halved
cp busybox foreign; printf '\xb7' | dd of=foreign bs=1 seek=18 conv=notrunc status=none
ln -s /opt/app/bin/app dangling
printf '#!/bin/sh\necho hi\n' >private
chmod 755 dos script.py env.py text empty foreign halved; chmod 644 plain; chmod 700 private
# A program of another libc, as when it was copied from a machine's own /usr/bin into an Alpine.
for program in /bin/true /usr/bin/true; do
    if grep -q -a ld-linux $program 2>/dev/null; then cp $program dynamic; break; fi
done
tar -C $LAB/rootfs -cf $LAB/rootfs.tar .
