/*
 * cli/scrub.h - taking out of a stored report what is not to be handed on. The gmr command only.
 */
#ifndef GMR_CLI_SCRUB_H
#define GMR_CLI_SCRUB_H

#include <jansson.h>
#include <stdbool.h>

/* Secrets always; addresses: of memory and of networks; hosts: this host's name, hosts in URLs, network addresses. False: no memory, and the
 * report is half done. */
bool gmr__scrub_report(json_t *root, bool addresses, bool hosts);

/* A copy of text with network addresses, memory addresses (if asked) and the host names (NULL: none) replaced by ***. To be freed; NULL: no
 * memory. */
char *gmr__scrub_text(const char *text, size_t bytes, bool addresses, const char *const *hosts, size_t host_count);

#endif
