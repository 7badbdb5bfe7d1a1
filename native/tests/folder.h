/* The folder of a test that writes files. */
#ifndef FE_TESTS_FOLDER_H
#define FE_TESTS_FOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Removes a folder with all that is in it; does nothing when there is none. */
static inline void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char name[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        (void)snprintf(name, sizeof name, "%.700s/%.255s", path, entry->d_name);
        if (unlink(name) != 0) remove_folder(name);
    }
    (void)closedir(folder);
    (void)rmdir(path);
}

#endif
