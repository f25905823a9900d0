/* A seccomp agent for the tests: standard input is the listener. What the arguments name by number fails with
 * ENOMEDIUM, all else goes on. A line for each call. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef SECCOMP_USER_NOTIF_FLAG_CONTINUE
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE 1
#endif

int main(int argc, char **argv)
{
	setlinebuf(stdout);
	for (;;) {
		struct seccomp_notif asked;
		struct seccomp_notif_resp answer;
		memset(&asked, 0, sizeof asked);
		memset(&answer, 0, sizeof answer);
		if (ioctl(0, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) {
			if (errno == EINTR || errno == ENOENT)
				continue;
			return 1;
		}
		answer.id = asked.id;
		answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		for (int i = 1; i < argc; i++)
			if (atoi(argv[i]) == asked.data.nr) {
				answer.flags = 0;
				answer.error = -ENOMEDIUM;
			}
		printf("%d\n", asked.data.nr);
		ioctl(0, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}
