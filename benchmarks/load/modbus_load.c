/* The load of the Modbus benchmark: persistent connections, one outstanding request each, epoll on bare sockets.
 *
 *   modbus_load SECONDS CLIENTS RATE UNIT FUNCTION COUNT < addresses
 *
 * Addresses come one a line as "IP PORT" and are dealt to the clients in turn. With RATE 0 a client asks again as soon
 * as it is answered; else the clients together ask RATE times a second, evenly dealt, and a time counts from the
 * instant at which the request was due. Prints one line of JSON; what is unanswered ten seconds after the end is counted.
 * A reply that is not the one asked for ends the run.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 12, HEAD = 9, LONGEST = 260, EVENTS = 512 };

struct client {
    int fd, have, asked;
    unsigned tid;
    double since, due;
    unsigned char reply[LONGEST];
};

static int unit, function, registers;

static double now_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

static void give_up(const char *what)
{
    fprintf(stderr, "modbus_load: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static void ask(struct client *client, double since)
{
    unsigned char request[REQUEST] = {0};
    client->tid = (client->tid + 1) & 0xffff;
    request[0] = client->tid >> 8, request[1] = client->tid & 255;
    request[5] = 6, request[6] = unit, request[7] = function;
    request[10] = registers >> 8, request[11] = registers & 255;
    client->since = since, client->have = 0, client->asked = 1;
    if (send(client->fd, request, REQUEST, MSG_NOSIGNAL) != REQUEST)
        give_up("a request could not be sent");
}

/* Whether the reply has come whole. */
static int hear(struct client *client)
{
    int whole = HEAD + 2 * registers;
    ssize_t got = recv(client->fd, client->reply + client->have, LONGEST - client->have, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0)
        give_up("a connection has ended");
    client->have += got;
    if (client->have < whole && !(client->have >= HEAD && client->reply[7] != function))
        return 0;
    unsigned tid = client->reply[0] << 8 | client->reply[1];
    if (client->have != whole || tid != client->tid || client->reply[7] != function || client->reply[8] != 2 * registers)
        give_up("a reply is not the one that was asked for");
    client->asked = 0;
    return 1;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: modbus_load SECONDS CLIENTS RATE UNIT FUNCTION COUNT < addresses\n");
        return 2;
    }
    double seconds = atof(argv[1]), rate = atof(argv[3]);
    int count = atoi(argv[2]);
    unit = atoi(argv[4]), function = atoi(argv[5]), registers = atoi(argv[6]);

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    struct sockaddr_in *called = NULL;
    int places = 0, port;
    char ip[64];
    while (scanf("%63s %d", ip, &port) == 2) {
        called = realloc(called, (places + 1) * sizeof *called);
        memset(&called[places], 0, sizeof *called);
        called[places].sin_family = AF_INET;
        called[places].sin_port = htons(port);
        if (inet_pton(AF_INET, ip, &called[places].sin_addr) != 1)
            give_up("an address is none");
        places++;
    }
    if (!places || count < 1)
        give_up("no address or no client");

    struct client *clients = calloc(count, sizeof *clients);
    int waits = epoll_create1(0), one = 1;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        clients[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(clients[i].fd, (struct sockaddr *)&called[i % places], sizeof *called))
            give_up("a connection was refused");
        setsockopt(clients[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(waits, EPOLL_CTL_ADD, clients[i].fd, &event);
    }

    size_t room = 1 << 16, done = 0;
    double *took = malloc(room * sizeof *took);
    double began = now_s(), ends = began + seconds, gives_up = ends + 10.0;
    long asked = 0, answered = 0;
    for (int i = 0; !rate && i < count; i++, asked++)
        ask(&clients[i], now_s());
    for (long turn = 0;;) {
        double now = now_s();
        /* Client i asks at i / rate after the beginning and count / rate apart; one that still waits is passed over
         * until it is answered, and its time counts from when its request was due. */
        while (rate && now < ends && began + turn / rate <= now) {
            struct client *client = &clients[turn % count];
            double due = began + turn / rate;
            turn++;
            if (client->asked)
                client->due = client->due ? client->due : due;
            else
                ask(client, due), asked++;
        }
        if (now >= ends && answered == asked)
            break;
        if (now >= gives_up)
            break;
        if (rate && now < ends) { /* epoll_wait knows whole milliseconds only */
            double wait_s = began + turn / rate - now;
            struct timespec wait = {.tv_nsec = wait_s > 0 ? (long)(wait_s * 1e9) % 1000000000 : 0};
            ppoll(&(struct pollfd){.fd = waits, .events = POLLIN}, 1, &wait, NULL);
        }
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(waits, events, EVENTS, rate && now < ends ? 0 : 100);
        for (int k = 0; k < ready; k++) {
            struct client *client = &clients[events[k].data.u32];
            if (!hear(client))
                continue;
            now = now_s();
            answered++;
            if (done == room)
                took = realloc(took, (room *= 2) * sizeof *took);
            took[done++] = now - client->since;
            if (!rate && now < ends)
                ask(client, now), asked++;
            else if (rate && client->due)
                ask(client, client->due), asked++, client->due = 0;
        }
    }
    double span = now_s() - began;
    if (!done)
        give_up("nothing was answered");
    qsort(took, done, sizeof *took, ascending);
    printf("{\"rate\": %.3f, \"p50_s\": %.9f, \"p99_s\": %.9f, \"requests\": %zu, \"unanswered\": %ld}\n", done / span,
           took[done / 2], took[done * 99 / 100], done, asked - answered);
    return 0;
}
