/* The memory that the process has, in the eyes of the kernel. */
#ifndef FE_BASE_RESIDENT_H
#define FE_BASE_RESIDENT_H

#include <stdint.h>

/* Bytes resident now (RSS: anonymous memory and mapped pages of files); 0 where the system does not
 * tell. Some microseconds of system calls. */
uint64_t fe_resident_bytes(void);

#endif
