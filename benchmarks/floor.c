/* The floor for fan-out: a program that does nothing but send().
 *
 * usage: floor PORT FRAME_BYTES
 * Accepts subscribers on 127.0.0.1:PORT. A connection whose first byte is 'P' is the publisher: every byte it sends after
 * that stands for one publish, answered by one send() of FRAME_BYTES bytes to each subscriber. A subscriber's first byte is 'S';
 * it is answered by one byte, so that the load generator knows that everybody is there.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            return;
        }
        data += sent;
        n -= (size_t)sent;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    size_t frame_bytes = (size_t)atoi(argv[2]);
    char *frame = calloc(1, frame_bytes);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!frame || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("floor");
        return 1;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    int *subscribers = calloc(limit.rlim_cur > 65536 ? 65536 : limit.rlim_cur, sizeof(int)), count = 0, publisher = -1;
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        struct pollfd fds[2] = {{listener, POLLIN, 0}, {publisher, POLLIN, 0}};
        if (poll(fds, publisher < 0 ? 1 : 2, -1) < 0) return 1;
        if (publisher >= 0 && (fds[1].revents & (POLLIN | POLLHUP))) {
            char bytes[4096];
            ssize_t n = read(publisher, bytes, sizeof bytes);
            if (n <= 0) return 0;
            for (ssize_t i = 0; i < n; i++)
                for (int s = 0; s < count; s++) send_all(subscribers[s], frame, frame_bytes);
        }
        if (fds[0].revents & POLLIN) {
            int fd = accept(listener, NULL, NULL);
            char kind;
            if (fd < 0 || read(fd, &kind, 1) != 1) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            if (kind == 'P')
                publisher = fd;
            else
                subscribers[count++] = fd;
            send_all(fd, "!", 1);
        }
    }
}
