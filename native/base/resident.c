/* See resident.h. Linux tells it in /proc/self/statm, in pages: size, resident, shared, ... */
#include "base/resident.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t fe_resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) return 0;
    text[got] = 0;
    const char *second = strchr(text, ' ');
    long page = sysconf(_SC_PAGESIZE);
    if (second == NULL || page <= 0) return 0;
    return strtoull(second, NULL, 10) * (uint64_t)page;
}
