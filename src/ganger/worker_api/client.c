/* The hook client: hands an agent's question to the gate of its run and prints the answer.

       ganger-hook EVENT AGENT READS [SLOW ...]  < payload

   Who asks is in the environment (GANGER_DOOR, GANGER_RUN, GANGER_TOKEN, GANGER_SECRET). When no gate answers, the
   program SLOW is started in its place, with EVENT, --agent and AGENT behind its arguments and the payload on its
   standard input. When that cannot be, or does not end well, a tool whose name is one of READS (a list with commas)
   may be used, and every other one is denied: exit status 2 with the reason on standard error, which all agents
   understand. Any other failure is leave to them. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAYLOAD_MAX = 2 << 20, ANSWER_MAX = 1 << 20, TIMEOUT_S = 3, STOP_TIMEOUT_S = 12 };

static char payload[PAYLOAD_MAX + 1];
static size_t length;

static int read_all(int from, char *into, size_t room, size_t *got) {
    ssize_t n = 1;
    for (*got = 0; *got < room && (n = read(from, into + *got, room - *got)) > 0; *got += n) {}
    return n >= 0;
}

static int send_all(int to, const char *data, size_t size) {
    for (ssize_t n; size; data += n, size -= n)
        if ((n = send(to, data, size, MSG_NOSIGNAL)) <= 0) return 0;
    return 1;
}

static int write_all(int to, const char *data, size_t size) {
    for (ssize_t n; size; data += n, size -= n)
        if ((n = write(to, data, size)) <= 0) return 0;
    return 1;
}

/* The name of the gate's socket, by a descriptor where it is too long for the kernel. */
static int call_gate(const char *door, int timeout_s) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(door) + 6 <= sizeof at.sun_path) {
        snprintf(at.sun_path, sizeof at.sun_path, "%s/gate", door);
    } else {
        int folder = open(door, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0) return -1;
        snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/gate", folder);
    }
    int gate = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = timeout_s};
    if (gate < 0) return -1;
    setsockopt(gate, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(gate, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return connect(gate, (struct sockaddr *)&at, sizeof at) ? -1 : gate;
}

/* Ask the gate and print what it says; 0 when it did not say it whole. */
static int asked_gate(const char *event, const char *agent) {
    const char *door = getenv("GANGER_DOOR"), *run = getenv("GANGER_RUN");
    const char *token = getenv("GANGER_TOKEN"), *secret = getenv("GANGER_SECRET");
    static char header[1024], answer[ANSWER_MAX];
    unsigned char chance[16];
    char nonce[33], *text;
    size_t got;
    int gate;
    if (!door || !run || !token || !secret || getrandom(chance, sizeof chance, 0) != sizeof chance) return 0;
    for (int i = 0; i < 16; i++) sprintf(nonce + 2 * i, "%02x", chance[i]);
    int size = snprintf(header, sizeof header, "ganger-hook 1 %s %s %s %s %s %s %zu\n", event, agent, run, token,
                        secret, nonce, length);
    if (size >= (int)sizeof header || (gate = call_gate(door, strcmp(event, "stop") ? TIMEOUT_S : STOP_TIMEOUT_S)) < 0)
        return 0;
    if (!send_all(gate, header, size) || (length <= PAYLOAD_MAX && !send_all(gate, payload, length))) return 0;
    if (!read_all(gate, answer, sizeof answer - 1, &got)) return 0;
    answer[got] = 0;
    size_t told = strtoul(answer, &text, 10);
    if (text == answer || *text++ != '\n' || (size_t)(answer + got - text) != told) return 0;
    return write_all(1, text, told);
}

/* Have the slow path answer in our place; 0 when it did not end well. */
static int asked_slowly(char **slow, const char *event, const char *agent) {
    char *argv[64];
    int count = 0, file = memfd_create("payload", 0);
    if (!slow[0] || file < 0 || !write_all(file, payload, length) || lseek(file, 0, SEEK_SET) || dup2(file, 0)) return 0;
    for (; slow[count] && count < 60; count++) argv[count] = slow[count];
    argv[count++] = (char *)event;
    argv[count++] = "--agent";
    argv[count++] = (char *)agent;
    argv[count] = NULL;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(argv[0], argv);
        _exit(127);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* Whether the tool that the payload names at its top level is one of a list. */
static int is_read(const char *reads) {
    int depth = 0, is_name = 0;
    for (size_t at = 0; at < length && length <= PAYLOAD_MAX; at++) {
        char c = payload[at];
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c != '"') continue;
        size_t from = ++at;
        for (; at < length && payload[at] != '"'; at++) at += payload[at] == '\\';
        size_t size = at - from;
        if (is_name && depth == 1) {
            char want[130];
            if (size == 0 || size > 120 || memchr(payload + from, ',', size)) return 0;
            snprintf(want, sizeof want, ",%.*s,", (int)size, payload + from);
            char *list = NULL;
            return asprintf(&list, ",%s,", reads) > 0 && strstr(list, want) != NULL;
        }
        is_name = depth == 1 && (size == 9 || size == 8) && at + 1 < length && payload[at + 1] == ':' &&
                  (!strncmp(payload + from, "tool_name", 9) || (size == 8 && !strncmp(payload + from, "toolName", 8)));
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4) return fputs("ganger-hook EVENT AGENT READS [SLOW ...]\n", stderr), 2;
    if (!read_all(0, payload, sizeof payload, &length)) length = 0;
    if (asked_gate(argv[1], argv[2])) return 0;
    if (asked_slowly(argv + 4, argv[1], argv[2])) return 0;
    if (strcmp(argv[1], "pre-tool") || is_read(argv[3])) return 0;
    fputs("ganger cannot say whether this may be done (its gate does not answer); reading goes on\n", stderr);
    return 2;
}
