/* A stand-in for DeepSeek that is never what a proxy waits for: one thread, epoll, prebuilt answers.

     upstream PLAIN STREAM

   serves 127.0.0.1 on a free port, which it prints. PLAIN and STREAM are files with a whole answer each, head and body;
   the ids in them are made new for each answer, and so is the date. What asks for a stream gets STREAM, frame by frame:
   GET /pace/MICROSECONDS/FRAMES says how many frames go out at once and how long after the ones before; 0 is all at
   once. It ends with its standard input. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 8192, REQUEST = 1 << 16, PLACES = 1024, ID = 36, DATE = 29 };

typedef struct {
    char *bytes;
    size_t size, date, ids[PLACES], ends[PLACES]; /* places of the date and the ids, and where each frame ends */
    int id_count, frame_count;
} Answer;

typedef struct {
    char request[REQUEST];
    size_t received;
    char *out;              /* the answer that is being sent; its buffer is kept for the next one */
    const Answer *answer;   /* NULL between two answers */
    size_t sent, allowed;   /* of the answer: what is gone, and what may go */
    int frame;              /* how many frames are allowed */
    int64_t due;            /* microseconds, when more of them are */
    int is_writing;         /* whether it waits for the socket */
} Connection;

static Answer plain, streamed;
static Connection *connections[CONNECTIONS];
static int poller, highest;
static long pace;
static int frames_at_once = 1;
static uint64_t answers;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void read_answer(Answer *answer, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) { perror(path); exit(2); }
    answer->bytes = calloc(1, 1 << 20);
    answer->size = fread(answer->bytes, 1, (1 << 20) - 1, file);
    fclose(file);
    char *body = strstr(answer->bytes, "\r\n\r\n") + 4, *id = strstr(body, "\"id\":\"") + 6, name[ID + 1] = {0};
    answer->date = strstr(answer->bytes, "date: ") + 6 - answer->bytes;
    memcpy(name, id, ID);
    for (char *at = body; (at = strstr(at, name)); at += ID) answer->ids[answer->id_count++] = at - answer->bytes;
    for (char *at = body; (at = strstr(at, "\n\n\r\n")); at += 4)
        answer->ends[answer->frame_count++] = at + 4 - answer->bytes;
    if (!answer->frame_count) answer->frame_count = 1;
    answer->ends[answer->frame_count - 1] = answer->size; /* the last frame takes the end of the body along */
}

static void drop(int fd) {
    close(fd);
    free(connections[fd]->out);
    free(connections[fd]);
    connections[fd] = NULL;
}

/* Sends what may go; 0 where the connection is gone. */
static int send_allowed(int fd, Connection *c) {
    while (c->sent < c->allowed) {
        ssize_t n = send(fd, c->out + c->sent, c->allowed - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return drop(fd), 0;
        if (n < 0) break;
        c->sent += n;
    }
    int is_writing = c->sent < c->allowed;
    if (is_writing != c->is_writing) {
        struct epoll_event e = {.events = EPOLLIN | (is_writing ? EPOLLOUT : 0), .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_MOD, fd, &e);
        c->is_writing = is_writing;
    }
    if (c->sent == c->answer->size) c->answer = NULL;
    return 1;
}

static void allow_more(Connection *c, int frames) {
    c->frame += frames;
    if (c->frame > c->answer->frame_count) c->frame = c->answer->frame_count;
    c->allowed = c->answer->ends[c->frame - 1];
    c->due += pace;
}

static int begin(int fd, Connection *c, const Answer *answer) {
    char id[ID + 1], date[DATE + 1];
    time_t seconds = time(NULL);
    snprintf(id, sizeof id, "%08x-0000-4000-8000-%012llx", (unsigned)getpid(), (unsigned long long)++answers);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&seconds));
    c->out = realloc(c->out, streamed.size > plain.size ? streamed.size : plain.size);
    memcpy(c->out, answer->bytes, answer->size);
    memcpy(c->out + answer->date, date, DATE);
    for (int i = 0; i < answer->id_count; i++) memcpy(c->out + answer->ids[i], id, ID);
    c->answer = answer;
    c->sent = c->frame = 0;
    c->due = now();
    allow_more(c, pace && answer == &streamed ? 1 : answer->frame_count);
    return send_allowed(fd, c);
}

/* Answers the request that is whole, if one is; what stands behind it waits for the answer's end. */
static void take(int fd, Connection *c) {
    c->request[c->received] = 0;
    char *end = strstr(c->request, "\r\n\r\n"), *field = strcasestr(c->request, "\ncontent-length:"), *rest;
    if (!end) return;
    size_t size = end + 4 - c->request + (field && field < end ? strtoul(field + 16, NULL, 10) : 0);
    if (c->received < size) return;
    sscanf(c->request, "GET /pace/%ld/%d", &pace, &frames_at_once); /* changes nothing in any other request */
    rest = strstr(end, "\"stream\"");
    int is_stream = rest && (strncmp(rest + 8, ":true", 5) == 0 || strncmp(rest + 8, ": true", 6) == 0);
    memmove(c->request, c->request + size, c->received -= size);
    begin(fd, c, is_stream ? &streamed : &plain);
}

static void receive(int fd, Connection *c) {
    ssize_t n = recv(fd, c->request + c->received, REQUEST - 1 - c->received, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) { drop(fd); return; }
    if (n > 0) c->received += n;
    if (!c->answer) take(fd, c);
}

static void welcome(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= CONNECTIONS) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[fd] = calloc(1, sizeof(Connection));
        if (fd > highest) highest = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    }
}

/* Sends the frames that are due; microseconds until the next ones are, at most a second. */
static int64_t send_due(void) {
    int64_t at = now(), next = at + 1000000;
    for (int fd = 0; fd <= highest; fd++) {
        Connection *c = connections[fd];
        if (!c || !c->answer || c->frame == c->answer->frame_count) continue;
        if (c->due <= at) {
            allow_more(c, frames_at_once);
            if (!send_allowed(fd, c) || !c->answer || c->frame == c->answer->frame_count) continue;
        }
        if (c->due < next) next = c->due;
    }
    return next > at ? next - at : 0;
}

int main(int count, char **names) {
    if (count != 3) return 2;
    read_answer(&plain, names[1]);
    read_answer(&streamed, names[2]);
    struct rlimit files = {CONNECTIONS, CONNECTIONS};
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096)) return 2;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poller = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, input = {.events = EPOLLIN, .data.fd = 0};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &input);
    for (;;) {
        struct epoll_event events[256];
        int64_t wait = send_due();
        struct timespec timeout = {wait / 1000000, wait % 1000000 * 1000};
        int ready = epoll_pwait2(poller, events, 256, &timeout, NULL);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == 0) return 0;
            if (fd == listener) { welcome(listener); continue; }
            Connection *c = connections[fd];
            if (c && c->is_writing && !send_allowed(fd, c)) continue;
            if (c && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) receive(fd, c);
            if ((c = connections[fd]) && !c->answer && c->received) take(fd, c);
        }
    }
}
