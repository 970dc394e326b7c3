/* report/standin.h - what src/config and src/section will bring, declared until they do. */
#ifndef GMR_REPORT_STANDIN_H
#define GMR_REPORT_STANDIN_H
#include "view/writer.h"
struct gmr__ini {
    char log_dir[4096], watch_file[4096];
    unsigned interval_ms;
    char problem[256];
};
int gmr__ini_read(const char *path, struct gmr__ini *ini);
int gmr__config_write(struct gmr_writer *writer);
#endif
