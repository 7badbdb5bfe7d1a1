/* The files of the segments at a start. Private to store/save_open.c. */
#ifndef FE_STORE_SAVE_FILES_H
#define FE_STORE_SAVE_FILES_H

#include "store/save.h"

/* Opens the file of every segment of a log that was loaded, and compares its size and its trailer with
 * what the log says. False with a line that names the file; those that were opened stay so. *can_serve is set
 * when it was one that serves_damaged is for. */
FE_MUST_USE bool fe_save_files_open(fe_store *store, bool *can_serve,
                                    char error[FE_SAVE_ERROR_MAX]);

#endif
