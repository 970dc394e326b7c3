/*
 * section/package_as.c - the Package section: what the program says it is, and which file it is.
 *
 * The target's half fills it where libgmr is in the process, else the inspector (with no words of the program's own). Async-signal-safe. vendor,
 * product and version print as None where the program did not say, as oslo.reports prints them.
 */
#include "section/build_id.h"
#include "section/note.h"
#include "sys/proc.h"

static void put_executable(struct gmr_writer *w, const struct gmr__target *target, struct gmr__section_status *status)
{
    static const char deleted[] = " (deleted)";
    char path[4200], file[GMR__PROC_PATH_MAX], build_id[GMR__BUILD_ID_TEXT];
    ssize_t n = gmr__proc_readlink(target->proc, target->pid, 0, "exe", path, sizeof(path));
    if (n < 0) {
        gmr__section_error(status, GMR__PARTIAL, "the executable", (int)n);
        return;
    }
    size_t mark = sizeof(deleted) - 1;
    bool gone = (size_t)n > mark && gmr__streq(path + n - mark, deleted);
    if (gone)
        path[(size_t)n - mark] = '\0';
    gmr_put_string(w, "executable", path);
    if (gone)
        gmr_put_bool(w, "executable_deleted", true);
    /* Through the link, the file is the right one even where it was replaced on disk. */
    gmr__proc_path(file, sizeof(file), target->proc, target->pid, 0, "exe");
    int error = gmr__build_id_file(file, build_id, sizeof(build_id));
    gmr__section_unread(status, "the executable's build id", error);
    if (error == 0)
        gmr_put_string(w, "build_id", build_id);
}

void gmr__section_package(struct gmr_writer *w, const struct gmr__target *target, const struct gmr__package *package,
                          struct gmr__section_status *status)
{
    static const struct gmr__package none;
    if (!package)
        package = &none;
    gmr_put_string(w, "product", package->product); /* in oslo.reports' order: sorted */
    gmr_put_string(w, "vendor", package->vendor);
    gmr_put_string(w, "version", package->version);
    put_executable(w, target, status);
    if (package->libgmr)
        gmr_put_string(w, "libgmr", package->libgmr);
}
