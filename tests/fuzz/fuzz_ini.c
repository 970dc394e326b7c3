/* tests/fuzz/fuzz_ini.c - the settings file. */
#include "config/config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gmr__ini ini;
    char path[64];
    fuzz_file(data, size, path);
    gmr__ini_read(path, &ini);
    if (!memchr(ini.log_dir, 0, sizeof(ini.log_dir)) || !memchr(ini.watch_file, 0, sizeof(ini.watch_file)) ||
        !memchr(ini.problem, 0, sizeof(ini.problem)))
        abort();
    return 0;
}
