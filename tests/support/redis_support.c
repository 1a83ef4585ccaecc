#include "support/redis_support.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS_MAX 16

static int listen_somewhere(int *out_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        abort();
    }
    *out_port = ntohs(address.sin_port);
    return fd;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        abort();
    }
    return fd;
}

static _Noreturn void run_server(const struct redis_server *server, const char *const *options,
                                 int output)
{
    char port[16];
    const char *arguments[OPTIONS_MAX + 16] = {
        "redis-server", "--port", port,           "--bind", "127.0.0.1",   "--dir", server->folder,
        "--save",       "",       "--appendonly", "no",     "--daemonize", "no",
    };
    size_t count = 13;
    (void)snprintf(port, sizeof(port), "%d", server->port);
    for (size_t i = 0; options != NULL && options[i] != NULL && i < OPTIONS_MAX; i++) {
        arguments[count++] = options[i];
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(output, STDOUT_FILENO);
    (void)dup2(output, STDERR_FILENO);
    (void)execvp("redis-server", (char *const *)(uintptr_t)arguments);
    _exit(127);
}

bool redis_start(struct redis_server *server, const char *const *options)
{
    int pipes[2];
    char line[512];
    bool is_ready = false;
    if (server->port == 0) {
        (void)close(listen_somewhere(&server->port));
    }
    (void)snprintf(server->folder, sizeof(server->folder), "/tmp/cvm-redis-XXXXXX");
    if (mkdtemp(server->folder) == NULL || pipe(pipes) != 0) {
        abort();
    }
    server->process = fork();
    if (server->process == 0) {
        (void)close(pipes[0]);
        run_server(server, options, pipes[1]);
    }
    (void)close(pipes[1]);
    /* Its log goes on into the pipe: at this level it is a few lines. */
    FILE *log = fdopen(pipes[0], "r");
    while (!is_ready && fgets(line, sizeof(line), log) != NULL) {
        is_ready = strstr(line, "Ready to accept connections") != NULL;
    }
    if (!is_ready) {
        (void)fclose(log);
        redis_stop(server);
    } /* else the pipe stays open until the test ends: a server that writes into none would die */
    return is_ready;
}

void redis_stop(struct redis_server *server)
{
    char path[128];
    if (server->process > 0) {
        (void)kill(server->process, SIGKILL);
        (void)waitpid(server->process, NULL, 0);
        server->process = 0;
    }
    (void)snprintf(path, sizeof(path), "%s/dump.rdb", server->folder);
    (void)unlink(path);
    (void)rmdir(server->folder);
}

void redis_pause(struct redis_server *server, bool is_paused)
{
    int how = 0;
    (void)kill(server->process, is_paused ? SIGSTOP : SIGCONT);
    (void)waitpid(server->process, &how, is_paused ? WUNTRACED : WCONTINUED);
}

void redis_tell(const struct redis_server *server, const char *command)
{
    char answer[256];
    int fd = connect_to(server->port);
    if (dprintf(fd, "%s\r\n", command) <= 0 || read(fd, answer, sizeof(answer)) <= 0) {
        abort();
    }
    (void)close(fd);
}

struct redis_babbler {
    pthread_t thread;
    const char *words;
    int count;
    int accepted;
    int listener;
};

static void *babble(void *state)
{
    struct redis_babbler *babbler = state;
    char asked[4096];
    for (;;) {
        int fd = accept(babbler->listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        babbler->accepted++;
        for (int i = 0; i < babbler->count && read(fd, asked, sizeof(asked)) > 0; i++) {
            if (write(fd, babbler->words, strlen(babbler->words)) < 0) {
                break;
            }
        }
        (void)close(fd);
    }
}

struct redis_babbler *redis_babbler_start(const char *words, int count, int *out_port)
{
    struct redis_babbler *babbler = calloc(1, sizeof(*babbler));
    babbler->words = words;
    babbler->count = count;
    babbler->listener = listen_somewhere(out_port);
    if (pthread_create(&babbler->thread, NULL, babble, babbler) != 0) {
        abort();
    }
    return babbler;
}

int redis_babbler_stop(struct redis_babbler *babbler)
{
    (void)shutdown(babbler->listener, SHUT_RDWR);
    (void)pthread_join(babbler->thread, NULL);
    (void)close(babbler->listener);
    int accepted = babbler->accepted;
    free(babbler);
    return accepted;
}
