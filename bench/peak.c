/* Runs COMMAND and writes to FILE the most memory that it or a process it waited for had resident, in KiB, and the
 * microseconds that all of them had of a processor.
 *
 *   peak FILE COMMAND [WORD...]
 *
 * Small, because a process begins with its parent's peak (setmax_mm_hiwater_rss in the kernel's exec).
 */
#include "floor.h"

static long run(int count, char **words) {
    char space[24];
    int status = 0;
    long usage[18] = {0}; /* struct rusage: two times of two, then ru_maxrss */
    if (count < 3) fail(__LINE__, -22);
    char **environment = words + count + 1;
    long pid = MUST(CALL(clone, SIGCHLD, 0, 0, 0, 0));
    if (pid == 0) MUST(CALL(execve, words[2], words + 2, environment, 0, 0));
    MUST(CALL(wait4, pid, &status, 0, usage, 0));
    long file = MUST(CALL(openat, FDCWD, words[1], 01101 | O_CLOEXEC, 0644, 0));
    long numbers[] = {usage[4], (usage[0] + usage[2]) * 1000000 + usage[1] + usage[3]};
    for (int at = 0; at < 2; at++) {
        const char *text = number_text(numbers[at], space + sizeof space);
        MUST(CALL(write, file, text, length(text), 0, 0));
        MUST(CALL(write, file, at ? "\n" : " ", 1, 0, 0));
    }
    return status >> 8 & 255;
}
