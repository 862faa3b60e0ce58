/* export_file: reads what `pilotgate-agent spool export` wrote. agent/spool/FORMAT.md draws the file. It is
 * encrypted between the agent's key and the collector's, so that only who has one of their secrets can have
 * made it. Chunks come out one at a time; what a file holds counts only when EXPORT_END came: until then it
 * may have been cut. */
#pragma once

#include "wire/curve.h"
#include "wire/wire.h"

struct export_file;

/* own: the collector's pair. -EBADMSG: not such a file, or damaged; -EPERM: made for another collector. */
int export_open(const char *path, const struct curve_key *own, struct export_file **ret,
                struct err *e) MUST_CHECK;
const char *export_agent(const struct export_file *f); /* Z85 public key that made it */

enum export_kind { EXPORT_END, EXPORT_FRAME };
/* The next frame (the caller frees it), or the end, with everything that the file says of itself checked. */
int export_next(struct export_file *f, enum export_kind *ret_kind, Pilotgate__Frame **ret,
                struct err *e) MUST_CHECK;
void export_close(struct export_file **f);
