/* Which instructions a program and its children execute, until they execute another: steps FILE PROGRAM ARGUMENT...
 *
 * Each is stepped over one by one (ptrace(2)), which takes minutes; their addresses are added to FILE, a line each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT = 1 << 26 }; /* a static program of that size at most */
static unsigned char seen[LIMIT];

int main(int count, char **words) {
    if (count < 3) return fputs("usage: steps FILE PROGRAM ARGUMENT...\n", stderr), 2;
    pid_t first = fork();
    if (!first) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(words[2], words + 2);
        _exit(127);
    }
    int status, code = 1;
    waitpid(first, &status, 0);
    long children = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    ptrace(PTRACE_SETOPTIONS, first, 0, children | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SINGLESTEP, first, 0, 0);
    for (pid_t at; (at = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status)) {
            if (at != first) continue;
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            break;
        }
        int event = status >> 16, signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_EXEC) {
            ptrace(PTRACE_DETACH, at, 0, 0);
            continue;
        }
        struct user_regs_struct at_step;
        if (signal == SIGTRAP && !event && !ptrace(PTRACE_GETREGS, at, 0, &at_step) && at_step.rip < LIMIT)
            seen[at_step.rip] = 1;
        ptrace(PTRACE_SINGLESTEP, at, 0, event || signal == SIGTRAP || signal == SIGSTOP ? 0 : signal);
    }
    FILE *file = fopen(words[1], "a");
    if (!file) return perror(words[1]), 1;
    for (long at = 0; at < LIMIT; at++)
        if (seen[at]) fprintf(file, "%016lx\n", at);
    fclose(file);
    return code;
}
