/* The peer: libmodbus serving REGISTERS holding and input registers, as the servers in its manual do.
 *
 *   modbus_peer ADDRESS PORT REGISTERS
 *
 * One thread waits with epoll for all connections and lets libmodbus receive, look up and reply; its manual waits with
 * select, which is slower with many. Prints an empty line of JSON when it listens.
 */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, BACKLOG = 512 };

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int registers = atoi(argv[3]);
    modbus_t *context = modbus_new_tcp(argv[1], atoi(argv[2]));
    modbus_mapping_t *map = modbus_mapping_new(0, 0, registers, registers);
    int listener = modbus_tcp_listen(context, BACKLOG);
    if (listener < 0 || !map) {
        fprintf(stderr, "modbus_peer: %s\n", modbus_strerror(errno));
        return 1;
    }
    for (int i = 0; i < registers; i++)
        map->tab_registers[i] = map->tab_input_registers[i] = i * 257 + 1;
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    puts("{}");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int k = 0; k < ready; k++) {
            int fd = events[k].data.fd;
            if (fd == listener) {
                event.data.fd = modbus_tcp_accept(context, &fd);
                if (event.data.fd >= 0)
                    epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
            modbus_set_socket(context, fd);
            int length = modbus_receive(context, query);
            if (length > 0)
                modbus_reply(context, query, length, map);
            else if (length < 0)
                close(fd);
        }
    }
}
